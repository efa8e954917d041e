"""The options of a route that come before or after its function: who may, what is loaded."""

import pytest

from sockets import Route, SocketRouter
from sockets.exceptions import DeclarationError
from sockets.guards import authenticated, staff
from sockets.stages import NO_STAGES


def on_play(socket): ...


def parts(socket):
    yield 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"login_required": 1}, "login_required: expected True or False, got 1"),
        ({"permissions": "app.play"}, "permissions: expected a list of names such as"),
        ({"permissions": ["play"]}, "permissions: expected a list of names such as"),
        ({"guards": on_play}, "guards: expected a list of functions and guards, got <function"),
        ({"guards": ["may_play"]}, "guards: expected a list of functions and guards, got"),
        ({"guards": [parts]}, "parts: a guard cannot be a generator"),
        ({"hydrate": "load"}, "expected a function or @staticmethod"),
        ({"hydrate": parts}, "hydrate: .*parts is a generator"),
        ({"check_access": authenticated}, "check_access: .* list it in guards"),
        ({"guards": [lambda socket, obj: True]}, "asks for obj, but the route has no hydrate"),
        ({"check_access": lambda socket, obj: True}, "asks for obj, but the route has no hydrate"),
        ({"check_data": lambda socket, obj: True}, "asks for obj, but the route has no hydrate"),
        ({"dehydrate": lambda socket, obj: obj}, "asks for obj, but the route has no hydrate"),
        ({"hydrate": lambda: 1}, "expected the handler as first parameter"),
        ({"dehydrate": lambda socket, *, n: n}, "dehydrate has no fields"),
        ({"hidrate": on_play}, "no option 'hidrate'; did you mean 'hydrate'"),
    ],
)
def test_what_cannot_work_fails_where_it_is_declared(options, message):
    with pytest.raises(DeclarationError, match=message):
        SocketRouter().route("PLAY", **options)(on_play)


def test_the_parts_of_a_generator_are_not_dehydrated():
    with pytest.raises(DeclarationError, match="the parts of a generator are not dehydrated"):
        SocketRouter().route("PLAY", dehydrate=on_play)(parts)


def test_a_route_tells_which_stages_it_has():
    route = Route.of("PLAY", on_play, guards=[staff], permissions=("app.play",), hydrate=on_play)
    assert route.stages.given == {
        "permissions": ("app.play",),
        "guards": (staff,),
        "hydrate": on_play,
    }
    assert Route.of("PLAY", on_play).stages == NO_STAGES
    assert NO_STAGES.given == {}


def test_all_who_must_let_a_message_pass_stand_in_their_order():
    route = Route.of(
        "PLAY", on_play, check_access=on_play, guards=[staff, on_play], permissions=["app.play"]
    )
    assert list(map(str, route.stages.conditions)) == [
        "has_perm('app.play')",
        "sockets.guards.staff",
        f"{__name__}.on_play",
        f"{__name__}.on_play",
    ]
