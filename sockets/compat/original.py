"""django-channels-router: its handler, and the frames that its browser client understands."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from ..built_in import greet, timestamp
from ..encoding import decode_json, json_text
from ..exceptions import SHOWN, HandlerFault, InvalidFrame, SocketError, UnknownKey
from ..handlers import RoutedSocketHandler
from ..messages import Answer, Frame, Message
from ..protocols.base import MANY_WAITING
from ..protocols.native import Native
from ..routes import Route

if TYPE_CHECKING:
    from ..models import Socket

# Pages may look for it, so it is spelt as it always was.
FAULT = "An error occured while processing your request, please contact support or try again."


def stamped(content: Any) -> str:
    """The content as JSON, with the server's time in `TIMESTAMP` where it is an object."""
    text = json_text(content)
    if text[0] != "{":
        return text
    if '"TIMESTAMP"' in text or text == "{}":
        return json_text({**decode_json(text), "TIMESTAMP": timestamp()})
    return f'{text[:-1]},"TIMESTAMP":"{timestamp()}"}}'


class Original(Native):
    """The native wire as django-channels-router spoke it.

    Every object that is sent has `TIMESTAMP`; the `errors` of an ERROR are texts, for its
    client shows each to the user.
    """

    max_waiting = MANY_WAITING
    frame = staticmethod(stamped)
    event = frame

    def decode(self, frame: Frame) -> Message | Answer:
        message = super().decode(frame)
        if type(message) is Message:
            content = message.content
            if "USER_ID" in content or "USERNAME" in content:
                raise InvalidFrame(
                    "expected a message without USER_ID and USERNAME, which the server fills in.",
                    ref=message.ref,
                )
        return message

    def error(self, error: SocketError, message: Message | None) -> Frame:
        details, texts = error.details, [one["text"] for one in error.errors]
        if isinstance(error, HandlerFault):
            # Under DEBUG the text is the traceback, and the details are its last line.
            details, texts = texts[0], [FAULT if texts == [details] else details]
        content: dict[str, Any] = {"type": "ERROR", "status": error.status, "details": details}
        if not isinstance(error, UnknownKey):
            content |= {"success": False, "errors": texts}
        if message is not None and message.ref is not None:
            content["ref"] = message.ref
        return self.frame(content)


class OriginalSocketHandler(RoutedSocketHandler):
    """The `RoutedSocketHandler` of django-channels-router.

    `TIMESTAMP` is in what is sent, and `USER_ID` and `USERNAME` are in the content of each
    message. On HELLO the user's other sockets on the path are asked for a PING; those that
    send nothing within 10 seconds are closed.
    """

    protocols = (Original(),)
    routes = (("HELLO", "on_hello"),)

    def on_hello(self, content: Any = None) -> None:
        """Answer GOT_HELLO, and look whether the user's other sockets on this path live."""
        greet(self, session_id=self.id, last_ping=timezone.now(), user_ip=self.user_ip)
        if self.tracked and self.user.is_authenticated:
            self.row.cleanup_stale()

    def default_route(self, content: Any) -> None:
        """Answer what no route matches."""
        raise UnknownKey(f"Unknown action: {str(content.get('type'))[:SHOWN]}")

    @property
    def socket(self) -> "Socket":
        """The connection's row."""
        return self.row

    def _handle(self, message: Message, route: Route) -> Coroutine[Any, Any, None]:
        if not message.answered:  # as are events of the channel layer, which are no client's
            content, user_id = message.content, self._member.identity.user_pk
            content["USER_ID"] = user_id
            content["USERNAME"] = None if user_id is None else self.user.get_username()
        return super()._handle(message, route)
