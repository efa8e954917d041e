"""Saving what a handler changed in its connection's session, and only that."""

import logging
from copy import deepcopy
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

logger = logging.getLogger("sockets")

Data = dict[str, Any]


def copy_of(session: Any) -> Data | None:
    """The session's data as it is now; None where it is not loaded yet."""
    data = getattr(session, "_session_cache", None)
    return None if data is None else deepcopy(data)


def save_changes(session: Any, before: Data | None) -> bool:
    """Save what differs from `before`; False where the session has ended meanwhile. Synchronous.

    A page may have changed the session since the handshake: its changes are kept, and seen in
    `session` from now on. Without `before` all that differs from what is stored is saved.
    """
    if isinstance(session, CookieStore) or not session.session_key:
        logger.warning(
            "A socket's changes to a session that its client cannot be told of are not saved: "
            "%s; change it in a view.",
            "it is kept in a cookie" if session.session_key else "the client has none",
        )
        return True
    stored = session.__class__(session.session_key)
    fresh = dict(stored.items())
    if stored.session_key != session.session_key:
        return False
    _apply(stored, fresh if before is None else before, dict(session.items()))
    try:
        stored.save()
    except UpdateError:
        return False
    session.clear()
    session.update(dict(stored.items()))
    session.modified = False
    return True


def _apply(stored: Any, before: Data, now: Data) -> None:
    for name in before.keys() - now.keys():
        stored.pop(name, None)
    for name, value in now.items():
        if name not in before or before[name] != value:
            stored[name] = value
