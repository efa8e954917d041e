"""What a connection's row says of it, in values that every database can store."""

import hashlib
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore

from .exceptions import DeclarationError

if TYPE_CHECKING:
    from .models import Socket
    from .socket import ClientSocket


def make_row(socket: "ClientSocket") -> "Socket":
    """A row, not saved yet, for a connection."""
    if not apps.is_installed("sockets"):
        raise DeclarationError(
            "expected 'sockets' in INSTALLED_APPS, where the rows of connections live; add it, or "
            "set tracked = False on the handler"
        )
    model: type[Socket] = apps.get_model("sockets", "Socket")
    owner = socket.view_class or type(socket)
    key = getattr(socket.session, "session_key", None) or ""
    return model(
        session_id=key if key and isinstance(socket.session, SessionStore) else None,
        session_key=storable_key(key),
        user_id=socket.user.pk,
        channel_name=_fit(getattr(socket, "channel_name", ""), model, "channel_name"),
        path=_fit(socket.path, model, "path"),
        view=_fit(f"{owner.__module__}.{owner.__qualname__}", model, "view"),
        user_ip=socket.user_ip,
    )


def storable_key(session_key: str) -> str:
    """A session's key as rows have it: those of signed cookies, which are long, as a digest."""
    if len(session_key) <= 64:
        return session_key
    return hashlib.sha256(session_key.encode()).hexdigest()


def _fit(text: str, model: Any, name: str) -> str:
    """The text without what PostgreSQL refuses, NUL and lone surrogates, and not too long."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return clean[: model._meta.get_field(name).max_length]
