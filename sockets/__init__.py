"""WebSocket routes on ordinary Django views."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exceptions import CallError as CallError
    from .exceptions import CallTimeout as CallTimeout
    from .exceptions import CloseCode as CloseCode
    from .exceptions import Disconnected as Disconnected
    from .exceptions import SocketError as SocketError
    from .handlers import RoutedSocketHandler as RoutedSocketHandler
    from .messages import Message as Message
    from .messages import Reply as Reply
    from .router import SocketRouter as SocketRouter
    from .routes import Route as Route
    from .statuses import StatusCodes as StatusCodes

# Django imports this package before models may be loaded, so its names are found when asked for.
_MODULES = {
    "CallError": "exceptions",
    "CallTimeout": "exceptions",
    "CloseCode": "exceptions",
    "Disconnected": "exceptions",
    "Message": "messages",
    "Reply": "messages",
    "Route": "routes",
    "RoutedSocketHandler": "handlers",
    "SocketError": "exceptions",
    "SocketRouter": "router",
    "StatusCodes": "statuses",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
