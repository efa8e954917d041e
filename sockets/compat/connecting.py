"""The rules of Channels for `connect` and `disconnect`, which the consumers of others follow."""

import logging
from contextlib import suppress
from typing import Any

from asgiref.sync import markcoroutinefunction
from channels.exceptions import AcceptConnection, DenyConnection, StopConsumer

from ..arguments import Call
from ..exceptions import CloseCode
from ..functions import Function, name_of, parameters_of
from ..handlers import RoutedSocketHandler
from ..sync import dual

logger = logging.getLogger("sockets")


async def refuse_undecided(socket: RoutedSocketHandler) -> None:
    """Refuse a client whom `connect` has neither accepted nor closed, as nobody else would."""
    if not socket._accepting:
        logger.warning(
            "%s.connect has neither accepted the client nor closed, so it is refused; call "
            "self.accept() or self.close()",
            name_of(type(socket)),
        )
        socket.close(CloseCode.FORBIDDEN)


class AcceptingHandler(RoutedSocketHandler):
    """A handler for the consumers of other systems, whose `connect` accepts or closes.

    Either may be said by Channels' exceptions, too. Their clients read no close codes: refusals
    are made at the handshake.
    """

    refuse_at_handshake = True
    connect_hooks = (refuse_undecided,)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        owner = next(owner for owner in cls.__mro__ if "disconnect" in vars(owner))
        if owner is cls or not issubclass(owner, RoutedSocketHandler):
            cls.disconnect = _with_code(cls.disconnect)  # type: ignore[method-assign]
        super().__init_subclass__(**kwargs)
        declared = cls._declared
        declared.connect_hooks = list(map(_deciding, declared.connect_hooks))
        declared.disconnect_hooks = list(map(_stopping, declared.disconnect_hooks))

    @dual
    async def connect(self) -> None:
        """Accept the client; an override does so itself, or closes."""
        await self._accept()

    markcoroutinefunction(connect)


def _with_code(disconnect: Function) -> Function:
    """The hook of a class, which Channels gives the code by its place and not by name."""
    taken, _ = parameters_of(disconnect, name_of(disconnect))
    if not taken or any(parameter.default is parameter.empty for parameter in taken[1:]):
        return disconnect  # a hook in our own form, whose arguments go by their names

    def with_code(consumer: Any, code: int) -> Any:
        return disconnect(consumer, code)

    with_code.__module__, with_code.__qualname__ = disconnect.__module__, disconnect.__qualname__
    return with_code


def _deciding(hook: Call) -> Call:
    """The hook, whose exceptions of Channels are what they say and no faults."""

    async def decide(socket: RoutedSocketHandler, event: Any) -> None:
        try:
            await hook(socket, event)
        except AcceptConnection:
            await socket._accept()
        except DenyConnection:
            socket.close(CloseCode.FORBIDDEN)

    return decide


def _stopping(hook: Call) -> Call:
    """The hook, which may say that it was the last."""

    async def stop(socket: RoutedSocketHandler, event: Any) -> None:
        with suppress(StopConsumer):
            await hook(socket, event)

    return stop
