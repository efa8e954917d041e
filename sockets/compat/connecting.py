"""The rule of Channels for `connect`: it accepts the client or closes, or nobody comes in."""

import logging

from asgiref.sync import markcoroutinefunction

from ..exceptions import CloseCode
from ..functions import name_of
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

    Their clients read no close codes, so refusals are made at the handshake.
    """

    refuse_at_handshake = True
    connect_hooks = (refuse_undecided,)

    @dual
    async def connect(self) -> None:
        """Accept the client; an override does so itself, or closes."""
        await self._accept()

    markcoroutinefunction(connect)
