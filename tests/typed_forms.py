"""The forms that type checkers are promised to accept; `test_typing` checks and runs them."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import msgspec
from django import forms
from django.http import HttpRequest, HttpResponse
from django.views import View
from pydantic import BaseModel

from sockets import (
    CallError,
    Message,
    Reply,
    Route,
    RoutedSocketHandler,
    SocketError,
    SocketRouter,
)
from sockets.compat.observable import (
    GenericRouteInfo,
    HandlerArg,
    SocketRouterConsumer,
    StatusCodes,
)
from sockets.guards import Guard, authenticated, require_perms, staff


@dataclass
class Steps:
    by: int


class Fold(msgspec.Struct, tag="FOLD"):
    show: bool = False


class Raise(msgspec.Struct, tag="RAISE"):
    by: int


class Move(TypedDict):
    x: int


class Stakes(BaseModel):
    blind: int


class BookingForm(forms.Form):
    seats = forms.IntegerField()


class Typed(View):
    socket = SocketRouter()

    @socket.route("STEP")
    @staticmethod
    async def on_step(socket: RoutedSocketHandler, steps: Steps) -> int:
        return steps.by

    @socket.route("FOLD", "RAISE")
    @staticmethod
    async def on_act(socket: RoutedSocketHandler, content: Fold | Raise) -> str:
        return f"Raised by {content.by}." if isinstance(content, Raise) else "Folded."

    @socket.route("MOVE", schema=Move)
    @staticmethod
    def on_move(socket: RoutedSocketHandler, move: Move) -> int:
        return move["x"]

    @socket.route("STAKES")
    @staticmethod
    def on_stakes(socket: RoutedSocketHandler, payload: Stakes) -> int:
        return payload.blind

    @socket.route("BOOK")
    @staticmethod
    def on_book(socket: RoutedSocketHandler, form: BookingForm) -> int:
        seats: int = form.cleaned_data["seats"]
        return seats

    @socket.route("SUM", schema=lambda content: content["numbers"])
    @staticmethod
    def on_sum(socket: RoutedSocketHandler, numbers: list[int]) -> int:
        return sum(numbers)

    @socket.route("ECHO", schema=None)
    @staticmethod
    def on_echo(socket: RoutedSocketHandler, content: dict[str, Any]) -> Any:
        return content["text"]


class Counter(View):
    socket = SocketRouter(max_waiting=8)

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("A page.")

    @socket.connect
    @staticmethod
    def on_open(socket: RoutedSocketHandler) -> None:
        socket.state.count = 0
        socket.send_json({"type": "READY"})

    @socket.connect
    @staticmethod
    async def on_open_too(socket: RoutedSocketHandler) -> None:
        await socket.send_json({"type": "READY_TOO"})

    @socket.disconnect
    @staticmethod
    def on_leave(socket: RoutedSocketHandler, code: int) -> None:
        socket.state.code = code

    @socket.route("ADD")
    @staticmethod
    def on_add(socket: RoutedSocketHandler, content: dict[str, Any]) -> dict[str, int]:
        socket.state.count += content["by"]
        return {"count": socket.state.count}

    @socket.route("MULTIPLY", concurrent=True, timeout=5.0)
    @staticmethod
    async def on_multiply(socket: RoutedSocketHandler, *, by: int, times: int = 1) -> Reply:
        return Reply({"count": socket.state.count * by**times}, status=201)

    @socket.route(re.compile(r"COUNT_TO_(?P<end>\d)$"), timeout=None)
    @staticmethod
    async def on_count(
        socket: RoutedSocketHandler, content: dict[str, Any], end: str
    ) -> AsyncIterator[int]:
        for number in range(int(end)):
            yield number

    @socket.route
    @staticmethod
    async def on_ask(socket: RoutedSocketHandler, content: dict[str, Any]) -> Any:
        try:
            return await socket.call("SURE", {"of": content["what"]}, timeout=1.0)
        except CallError as fault:
            raise SocketError(fault.details, status=fault.status) from fault

    @socket.default_route
    @staticmethod
    def on_other(socket: RoutedSocketHandler, content: dict[str, Any]) -> None:
        socket.send_action("WHAT", key=content.get("type"))


class SquareHandler(RoutedSocketHandler):
    login_required = False
    max_frame_bytes = 1024
    routes = (
        *RoutedSocketHandler.routes,
        ("SQUARE", "on_square"),
        (re.compile(r"CUBE$"), "on_cube"),
    )

    def connect(self, scope: dict[str, Any]) -> None:
        self.send_action("READY", path=scope["path"])

    async def disconnect(self, code: int) -> None:
        self.state.code = code

    def on_square(self, content: dict[str, Any]) -> int:
        number: int = content["number"]
        return number**2

    async def on_cube(self, content: dict[str, Any]) -> tuple[int, int]:
        await self.send_json({"type": "ALMOST"})
        number: int = content["number"]
        return number**3, 202

    async def default_route(self, content: Any, user: Any) -> None:
        await self.close(4403, "Squares and cubes only.")


def halve(socket: RoutedSocketHandler, content: dict[str, Any]) -> float:
    half: float = content["number"] / 2
    return half


async def may_halve(socket: RoutedSocketHandler, message: Message) -> bool:
    return bool(message.content["number"])


def to_text(socket: RoutedSocketHandler, half: float) -> str:
    return f"{half:.2f}"


@require_perms("app.halve")
async def halve_more(socket: RoutedSocketHandler, *, number: int) -> float:
    return number / 4


assert_type(~staff | may_halve, Guard)
squares = SocketRouter(handler=SquareHandler)
squares.login_required = False
squares.route("HALVE", guards=[~staff, ~authenticated | may_halve], dehydrate=to_text)(halve)

routes: list[Route] = [Route.of(("HALVE",), halve, timeout=1.0)]
assert_type(Counter.socket.Handler, type[RoutedSocketHandler])
applications = [Counter.socket.Handler.as_asgi(), SquareHandler.as_asgi()]


def halved(arg: HandlerArg[dict[str, Any], int]) -> float:
    return arg.payload / 2


class Halves(SocketRouterConsumer):
    routes = ({"route": "double"}, GenericRouteInfo[float, float](route="halve", hydrate=halved))

    def on_double(self, payload: int, headers: dict[str, Any]) -> dict[str, Any]:
        return {"payload": 2 * payload, "status": StatusCodes.OK}

    async def on_halve(self, arg: HandlerArg[dict[str, Any], float]) -> dict[str, Any]:
        return {"payload": arg.payload}


class MoreHalves(Halves):
    _routes = ({"route": "double"}, {"route": "treble"})

    def on_treble(self, payload: int) -> dict[str, Any]:
        return {"payload": 3 * payload}
