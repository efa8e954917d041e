"""The methods that clients of channels-websocket-utils call, on whatever consumer they are."""

import inspect
from asyncio import get_running_loop
from functools import update_wrapper
from types import MethodType
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.core.exceptions import PermissionDenied

from ..arguments import start_of
from ..encoding import decode_json
from ..exceptions import DeclarationError, LoginRequired
from ..faults import error_of
from ..functions import Function, is_generator, name_of, unwrap
from ..handlers import RoutedSocketHandler
from ..messages import Message, answer_of, current_message
from ..permissions import check_permissions
from ..protocols.replykey import ReplyKey
from ..scope import get_user

WIRE = ReplyKey()


class ClientMethod:
    """A method that clients call by its name, on a consumer of ours or of Channels.

    It may be written with or without the event, in either colour. Where an event loop runs it
    is awaited, elsewhere it is called.
    """

    def __init__(
        self, function: Function, answers: bool = False, permissions: tuple[str, ...] = ()
    ) -> None:
        if is_generator(function):
            raise DeclarationError(
                f"{name_of(function)}: expected a method that returns its answer, got a generator; "
                "write it as a route of a RoutedSocketHandler"
            )
        update_wrapper(self, function)
        self.function = function
        self.answers = answers
        self.permissions = permissions
        self.takes_event = _takes_event(function)
        self._start = start_of(function)
        self.routed = self._routed()

    @classmethod
    def of(cls, method: Function) -> "ClientMethod":
        return method if isinstance(method, cls) else cls(unwrap(method))

    def __get__(self, consumer: Any, owner: type | None = None) -> Any:
        return self if consumer is None else MethodType(self, consumer)

    def __call__(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        run = self._run if _is_in_loop() else async_to_sync(self._run)
        return run(consumer, *arguments, **named)

    async def _run(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        """Call it, and if it answers send the answer, be it an error."""
        if not self.answers:
            return await self._call(consumer, *arguments, **named)
        message = _message_of(arguments)
        try:
            value = await self._call(consumer, *arguments, **named)
            frame = WIRE.reply(message, *answer_of(value))
        except StopConsumer:
            raise
        except Exception as fault:
            frame = WIRE.error(error_of(fault, name_of(self.function)), message)
        if frame is not None:
            await _send(consumer, message, frame)

    async def _call(self, consumer: Any, *arguments: Any, **named: Any) -> Any:
        if self.permissions and not await sync_to_async(self._admits)(consumer):
            return None
        return await self._start(consumer, *(arguments if self.takes_event else ()), **named)

    def _admits(self, consumer: Any) -> bool:
        try:
            check_permissions(get_user(consumer.scope), self.permissions)
        except (PermissionDenied, LoginRequired):
            return False
        return True

    def _routed(self) -> Function:
        """The method as a route's function, which gets the event whatever it calls it."""

        async def with_event(consumer: Any, content: Any) -> Any:
            return await self._call(consumer, content)

        async def without_event(consumer: Any) -> Any:
            return await self._call(consumer)

        routed = with_event if self.takes_event else without_event
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(routed, name, getattr(self, name, getattr(routed, name)))
        return routed


def _is_in_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _takes_event(method: Function) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(method).parameters.values()]
    named = [kind for kind in kinds if kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return len(named) > 1 or inspect.Parameter.VAR_POSITIONAL in kinds


def _message_of(arguments: tuple[Any, ...]) -> Message:
    event = arguments[0] if arguments else None
    ref = event.get("reply_key") if isinstance(event, dict) else None
    return Message(None, event, ref if isinstance(ref, str | int) else None)


async def _send(consumer: Any, message: Message, frame: str | bytes) -> None:
    """Send the answer to a message in the way of whatever consumer it is."""
    current = current_message.get()
    if isinstance(consumer, RoutedSocketHandler) and current and current.ref == message.ref:
        await consumer._answers.end(current, frame)
    elif hasattr(consumer, "send_json"):
        await start_of(consumer.send_json)(decode_json(frame))
    elif isinstance(consumer, WebsocketConsumer | AsyncWebsocketConsumer):
        await start_of(consumer.send)(frame)
    else:
        await start_of(consumer.send)({"type": "websocket.send", "text": frame})
