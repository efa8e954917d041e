"""Who refuses a message, with what status, and that nothing runs after: at every way in."""

import msgspec
import pytest
from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404

from sockets import SocketError, SocketRouter
from sockets.guards import require_perms

from .clients import client_of


class Ann:
    """Somebody who may play until told otherwise."""

    pk = 1
    is_authenticated = True
    may = True

    def has_perms(self, permissions, obj=None):
        return self.may


class Move(msgspec.Struct):
    by: int


class MoveForm(forms.Form):
    by = forms.IntegerField()


def halve(content):
    raise ValueError("Odd.")


DOORS = {
    "a route": lambda socket, play: socket.route("PLAY")(play),
    "a concurrent route": lambda socket, play: socket.route("PLAY", concurrent=True)(play),
    "the default route": lambda socket, play: socket.default_route(play),
    "a group": lambda socket, play: socket.group("PLAY$")(play),
}
"""What a message may be let in by."""

RULES = [
    # what refuses, and how: an attribute of the handler, or the function itself; the status
    ("a guard of the handler returns False", {"guard": False}, 403),
    ("a guard of the handler raises", {"guard": SocketError("Pay first.", status=402)}, 402),
    ("a guard of the handler fails", {"guard": KeyError("n")}, 500),
    ("a permission of the handler", {"permissions": ["app.play"]}, 403),
    ("require_perms above", {"above": require_perms("app.play")}, 403),
    ("require_perms beneath", {"beneath": require_perms("app.play")}, 403),
    ("a struct", {"content": Move}, 400),
    ("a form", {"content": MoveForm}, 400),
    ("a field", {"field": int}, 400),
    ("the function raises PermissionDenied", {"raises": PermissionDenied()}, 403),
    ("the function raises Http404", {"raises": Http404()}, 404),
]


def playing(log, colour, how):
    """A function of this colour that notes when it runs, and refuses in its own way."""
    fault = how.get("raises")

    def work():
        if fault is not None:
            raise fault
        log.append("played")

    if colour == "def":

        def play(socket, content):
            work()

        def play_with_field(socket, *, by):
            work()

    else:

        async def play(socket, content):
            work()

        async def play_with_field(socket, *, by):
            work()

    if "content" in how:
        play.__annotations__["content"] = how["content"]
    if "field" in how:
        play = play_with_field
        play.__annotations__["by"] = how["field"]
    return how.get("beneath", lambda function: function)(play)


def guarding(user, colour, verdict):
    """A guard of the handler that lets in, and refuses once the user may not play."""

    def decide():
        if user.may:
            return True
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    def guard(socket):
        return decide()

    async def aguard(socket):
        return decide()

    return guard if colour == "def" else aguard


@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("how", "status"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
async def test_after_a_refusal_nothing_runs(how, status, door, colour, caplog):
    log, sockets, user = [], [], Ann()
    guards = [guarding(user, colour, how["guard"])] if "guard" in how else []
    socket = SocketRouter(guards=guards, permissions=how.get("permissions", []))
    socket.connect(lambda socket: sockets.append(socket))
    play = DOORS[door](socket, playing(log, colour, how))
    how.get("above", lambda function: function)(play)
    message = {"type": "JOIN" if door == "a group" else "PLAY", "group": "PLAY"}
    async with client_of(socket, user=user) as client:
        user.may = False
        answer = await client.ask({**message, "ref": 1})
        assert (answer["type"], answer["status"], answer["ref"]) == ("ERROR", status, 1)
        assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
        assert log == [] and sockets[0].joined == ()
        assert bool(caplog.records) == (status == 500)
        if "raises" not in how:
            user.may = True
            answer = await client.ask({**message, "ref": 2, "by": 1})
            assert (answer["type"], answer["status"]) == (message["type"], 204)
            assert log == ["played"]


@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ({"type": "JOIN", "group": "other"}, 403),
        ({"type": "JOIN"}, 400),
        ({"type": "OTHER"}, 404),
        ({"ref": 1}, 400),
        ({"type": 5}, 400),
        ({"type": "PLAY", "ref": [1]}, 400),
        ({"type": "PLAY", "text": "x" * 100}, 413),
        ({"type": "PLAY", "ref": "waits"}, 409),
        ([], 400),
    ],
    ids=str,
)
async def test_what_is_no_message_for_anybody_reaches_nobody(colour, frame, status):
    log = []
    socket = SocketRouter(max_frame_bytes=100)
    socket.route("PLAY")(playing(log, colour, {}))
    socket.group("PLAY$")(playing(log, colour, {}))

    @socket.route("ASK", concurrent=True)
    async def on_ask(socket):
        await socket.call("WELL")

    async with client_of(socket) as client:
        assert (await client.ask({"type": "ASK", "ref": "waits"}))["type"] == "WELL"
        assert (await client.ask(frame))["status"] == status
        assert (await client.ask({"type": "TIME_SYNC"}))["type"] == "TIME_SYNC"
    assert log == []
