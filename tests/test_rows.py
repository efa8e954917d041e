"""What a connection's row says of it."""

import hashlib

import pytest
from django.test import modify_settings

from sockets.exceptions import DeclarationError
from sockets.rows import make_row, storable_key


def test_without_the_app_a_row_says_what_to_install():
    with (
        modify_settings(INSTALLED_APPS={"remove": "sockets"}),
        pytest.raises(DeclarationError, match="are heard; add it"),
    ):
        make_row(None)


@pytest.mark.parametrize("key", ["", "k" * 32, "k" * 64])
def test_an_ordinary_session_key_is_kept(key):
    assert storable_key(key) == key


def test_a_long_session_key_becomes_its_digest():
    key = "signed:" * 40
    assert storable_key(key) == hashlib.sha256(key.encode()).hexdigest()
