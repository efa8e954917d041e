"""What a connection's row says of it, in values that every database can store."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore

from .exceptions import DeclarationError
from .identity import Identity, storable_key

if TYPE_CHECKING:
    from .connection import Connection
    from .models import Socket


def make_row(socket: "Connection") -> "Socket":
    """A row, not saved yet, for a connection."""
    if not apps.is_installed("sockets"):
        raise DeclarationError(
            "expected 'sockets' in INSTALLED_APPS, where the rows of connections live and logouts "
            "are heard; add it"
        )
    model: type[Socket] = apps.get_model("sockets", "Socket")
    owner = socket.view_class or type(socket)
    identity = socket._member.identity
    return model(
        id=socket.id,
        user_id=identity.user_id,
        **session_fields(identity),
        channel_name=_fit(getattr(socket, "channel_name", ""), model, "channel_name"),
        path=_fit(socket.path, model, "path"),
        view=_fit(f"{owner.__module__}.{owner.__qualname__}", model, "view"),
        user_ip=socket.user_ip,
    )


def session_fields(identity: Identity) -> dict[str, str | None]:
    """How a row names its session; only those in the database are linked."""
    in_database = identity.store is not None and issubclass(identity.store, SessionStore)
    return {
        "session_id": identity.session_key if in_database and identity.session_found else None,
        "session_key": storable_key(identity.session_key),
    }


def _fit(text: str, model: Any, name: str) -> str:
    """The text without what PostgreSQL refuses, NUL and lone surrogates, and not too long."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return clean[: model._meta.get_field(name).max_length]
