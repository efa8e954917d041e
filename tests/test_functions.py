"""What a user's function is: its name, its colour, its parameters and their types."""

from functools import partial

import pytest

from sockets.exceptions import DeclarationError
from sockets.functions import innermost, is_generator, name_of, parameters_of, takes, unwrap


def limited(socket, content, limit, *, x: "int", y=0):
    return limit, content


def count(socket):
    yield 1


async def acount(socket):
    yield 1


class Caller:
    def __call__(self, socket, content):
        return "called", content


class Counter:
    def __call__(self, socket):
        yield 1


def test_a_static_method_is_unwrapped():
    assert unwrap(staticmethod(limited)) is limited
    assert unwrap(limited) is limited


@pytest.mark.parametrize(
    "given", [classmethod(limited), staticmethod(classmethod(limited)), None, "on_bet", 5]
)
def test_what_cannot_be_called_with_the_handler_is_refused(given):
    with pytest.raises(DeclarationError, match="expected a function or @staticmethod to route to"):
        unwrap(given)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (limited, "limited"),
        (Caller.__call__, "Caller.__call__"),
        (Caller(), "Caller"),
        (partial(partial(limited, limit=5)), "limited"),
    ],
)
def test_functions_are_named_by_module_and_name(function, name):
    assert name_of(function) == f"{__name__}.{name}"


def test_what_runs_in_the_end_stands_within_partials_and_callable_objects():
    caller = Caller()
    assert innermost(partial(partial(limited), limit=5)) is limited
    assert innermost(partial(caller)) == caller.__call__


@pytest.mark.parametrize("function", [count, acount, partial(count), Counter()])
def test_generators_of_both_colours_are_known(function):
    assert is_generator(function)
    assert not is_generator(limited)


def test_parameters_are_those_after_the_handler_and_fields_those_after_the_star():
    positional, fields = parameters_of(limited, "limited")
    assert [parameter.name for parameter in positional] == ["content", "limit"]
    assert {name: field.annotation for name, field in fields.items()} == {
        "x": int,
        "y": fields["y"].empty,
    }


def test_what_a_partial_has_set_is_no_parameter():
    given = partial(limited, limit=5, x=1)
    positional, fields = parameters_of(given, "limited")
    assert [parameter.name for parameter in positional] == ["content"]
    assert list(fields) == ["y"]
    assert takes(given, "y") and takes(given, "content")
    assert not takes(given, "limit") and not takes(given, "socket")
