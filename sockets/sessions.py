"""Saving what functions change in a connection's session, and only that."""

import logging
from copy import deepcopy
from threading import Lock
from typing import Any

from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.db import OperationalError

logger = logging.getLogger("sockets")

Data = dict[str, Any]
MISSING = object()


class SessionChanges:
    """What a connection's functions have changed in its session since it was saved.

    A page may have changed the session since the handshake: its changes are kept, and seen in
    the session after a save.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self._before = data_of(session)
        self._saving = Lock()

    def remember(self) -> None:
        """Take a session that a function has only read for what it was before."""
        if self._before is None:
            self._before = data_of(self.session)

    def save(self) -> bool:
        """Save the changes; False where the session has ended meanwhile. Synchronous."""
        session = self.session
        with self._saving:  # concurrent messages save in threads of their own
            if not session.modified:
                return True
            # What is changed from here on is saved by the function that changes it.
            session.modified = False
            if isinstance(session, CookieStore) or not session.session_key:
                self._warn()
                return True
            try:
                return self._save(session.session_key)
            except BaseException:
                session.modified = True
                raise

    def _save(self, key: str) -> bool:
        self.session.items()  # which loads it
        now = data_of(self.session) or {}
        stored = find_session(self.session.__class__, key)
        if stored is None:
            return False
        _apply(stored, dict(stored.items()) if self._before is None else self._before, now)
        try:
            stored.save()
        except UpdateError as fault:
            if isinstance(fault.__context__, OperationalError):
                raise  # the database is away or busy, which the engine takes for an end
            return False
        self._take_in(dict(stored.items()), now)
        return True

    def _take_in(self, stored: Data, saved: Data) -> None:
        """See what pages have changed, where no function has changed it again meanwhile."""
        data = self.session._session
        self._before = deepcopy(stored)
        for name in stored.keys() | saved.keys():
            value, mine = stored.get(name, MISSING), saved.get(name, MISSING)
            if value == mine or data.get(name, MISSING) != mine:
                continue
            if value is MISSING:
                data.pop(name, None)
            else:
                data[name] = value

    def _warn(self) -> None:
        if not self.session.is_empty():
            logger.warning(
                "A socket's changes to a session that its client cannot be told of are not saved: "
                "%s; change it in a view.",
                "it is kept in a cookie" if self.session.session_key else "the client has none",
            )


def data_of(session: Any) -> Data | None:
    """A copy of the session's data; None where it is not loaded yet."""
    data = getattr(session, "_session_cache", None)
    # At once, for a thread may be changing it.
    return None if data is None else deepcopy(dict(data))


def find_session(store: type[SessionBase], key: str) -> SessionBase | None:
    """A session as it is stored now; None where it has ended. Synchronous."""
    session = store(key)
    if issubclass(store, CacheStore) and not session.exists(key):
        return None  # asked first: `load` takes a cache that is away for one without the session
    data = dict(session.items())
    if issubclass(store, CookieStore):
        return session if data else None  # it has the key of whatever it was given
    if session.session_key not in (None, key):
        session.delete()  # the file engine begins another in the place of one that expired
    return session if session.session_key == key else None


def _apply(stored: SessionBase, before: Data, now: Data) -> None:
    for name in before.keys() - now.keys():
        stored.pop(name, None)
    for name, value in now.items():
        if name not in before or before[name] != value:
            stored[name] = value
