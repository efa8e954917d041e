"""The settings, their defaults, their reset in tests."""

import pytest
from django.test import override_settings

from sockets.conf import Settings, get_settings
from sockets.exceptions import DeclarationError


def test_without_settings_the_defaults_are_in_force():
    assert get_settings() == Settings()
    settings = get_settings()
    assert (settings.LANES, settings.LANE_WAIT, settings.TRUSTED_PROXIES) == (16, 5.0, 0)


@override_settings(SOCKETS={"LANES": 3})
def test_what_is_left_out_has_its_default():
    assert get_settings() == Settings(LANES=3)


def test_override_settings_resets_them():
    with override_settings(SOCKETS={"LANES": 3}):
        assert get_settings().LANES == 3
        with override_settings(SOCKETS={"LANES": 4}):
            assert get_settings().LANES == 4
        assert get_settings().LANES == 3
    assert get_settings().LANES == 16


def test_other_settings_reset_nothing():
    before = get_settings()
    with override_settings(DEBUG=True):
        assert get_settings() is before


def test_settings_are_read_lazily():
    with override_settings(SOCKETS={"LANES": "many"}), override_settings(SOCKETS={"LANES": 5}):
        assert get_settings().LANES == 5


@override_settings(SOCKETS={"TRUSTED_PROXYS": 1})
def test_an_unknown_setting_names_the_nearest():
    message = r"SOCKETS has no setting 'TRUSTED_PROXYS'; did you mean 'TRUSTED_PROXIES'\?"
    with pytest.raises(DeclarationError, match=message):
        get_settings()


@override_settings(SOCKETS={"COLOUR": 1})
def test_an_unknown_setting_like_no_other_lists_all():
    with pytest.raises(
        DeclarationError, match="choose from BROKER, LANES, LANE_WAIT, LEASE, TRUSTED"
    ):
        get_settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LANES", "16", "a whole number of at least 1"),
        ("LANES", 1.5, "a whole number of at least 1"),
        ("LANES", True, "a whole number of at least 1"),
        ("LANES", None, "a whole number of at least 1"),
        ("LANES", 0, "a whole number of at least 1"),
        ("LANE_WAIT", "5", "seconds of at least 0.0"),
        ("LANE_WAIT", True, "seconds of at least 0.0"),
        ("LANE_WAIT", -0.1, "seconds of at least 0.0"),
        ("TRUSTED_PROXIES", -1, "a whole number of at least 0"),
        ("TRUSTED_PROXIES", ["10.0.0.1"], "a whole number of at least 0"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(name, value, expected):
    message = rf"expected SOCKETS\['{name}'\] to be {expected}, got "
    with override_settings(SOCKETS={name: value}), pytest.raises(DeclarationError, match=message):
        get_settings()


@pytest.mark.parametrize("value", [("LANE_WAIT", 1), ("LANE_WAIT", 0), ("TRUSTED_PROXIES", 0)])
def test_borders_and_whole_seconds_are_allowed(value):
    name, number = value
    with override_settings(SOCKETS={name: number}):
        assert getattr(get_settings(), name) == number


@pytest.mark.parametrize("value", [None, ["LANES"], "LANES", 5])
def test_settings_that_are_no_dict_are_refused(value):
    with override_settings(SOCKETS=value), pytest.raises(DeclarationError, match="SOCKETS"):
        get_settings()
