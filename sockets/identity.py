"""Whose a connection is, and which sessions and users are no more."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.db.models import CharField, QuerySet, Value
from django.db.models.functions import Cast
from django.utils import timezone

from .broadcasts import Place
from .scope import Scope, get_user

CHUNK = 10_000
"""Values that one query names: SQLite takes 32,766 at most (SQLITE_MAX_VARIABLE_NUMBER)."""


@dataclass(frozen=True)
class Identity:
    """The session and the user that a connection came with; empty where it has none."""

    session_key: str = ""
    store: type[SessionBase] | None = None
    user_pk: Any = None
    is_stored: bool = False
    """Whether the user is one of the project's user model, and no token's or service's."""

    @classmethod
    def of(cls, scope: Scope) -> "Identity":
        session, user = scope.get("session"), get_user(scope)
        key = getattr(session, "session_key", None) or ""
        store = session.__class__ if isinstance(session, SessionBase) else None
        if not user.is_authenticated:
            return cls(key, store)
        return cls(key, store, user.pk, isinstance(user, get_user_model()))

    @property
    def places(self) -> set[Place]:
        """Where broadcasts about this session or this user find it."""
        places: set[Place] = set()
        if self.session_key:
            places.add(("session", storable_key(self.session_key)))
        if self.user_pk is not None:
            places.add(("user", str(self.user_pk)))
        return places


def storable_key(session_key: str) -> str:
    """A session's key as rows have it: those of signed cookies, which are long, as a digest."""
    if len(session_key) <= 64:
        return session_key
    return hashlib.sha256(session_key.encode()).hexdigest()


def find_ended(identities: Iterable[Identity]) -> tuple[set[str], set[Any]]:
    """The sessions (by key) and users (by primary key) that are no more, or not active.

    Synchronous. Sessions in the database and users are asked for together, in one query where
    they are in one database; those of other engines one by one, of the engine.
    """
    identities = set(identities)
    users = {identity.user_pk for identity in identities if identity.is_stored}
    sessions = {
        identity.session_key: identity.store for identity in identities if identity.session_key
    }
    in_database = {
        key: store for key, store in sessions.items() if store and issubclass(store, DatabaseStore)
    }
    living = _ask([*_session_queries(in_database), *_user_queries(list(users))])
    ended = in_database.keys() - living["session"]
    for key in sessions.keys() - in_database.keys():
        store = sessions[key]
        if store is not None and _has_ended(store, key):
            ended.add(key)
    to_python = get_user_model()._meta.pk.to_python  # a UUID is written in several ways
    return ended, users - set(map(to_python, living["user"]))


def _has_ended(store: type[SessionBase], key: str) -> bool:
    session = store(key)
    data = session.load()
    if issubclass(store, CookieStore):
        return not data  # it has the key of whatever it was given
    if session.session_key not in (None, key):
        session.delete()  # the file engine begins another in the place of one that expired
    return bool(session.session_key != key)


def _session_queries(stores: dict[str, Any]) -> Iterator[QuerySet[Any, Any]]:
    for store in set(stores.values()):
        keys = [key for key, other in stores.items() if other is store]
        for chunk in _chunks(keys):
            yield _living(
                store.get_model_class()._default_manager, "session", session_key__in=chunk,
                expire_date__gt=timezone.now(),
            )  # fmt: skip


def _user_queries(users: list[Any]) -> Iterator[QuerySet[Any, Any]]:
    model = get_user_model()
    has_switch = any(field.name == "is_active" for field in model._meta.get_fields())
    active = {"is_active": True} if has_switch else {}
    for chunk in _chunks(users):
        yield _living(model._default_manager, "user", pk__in=chunk, **active)


def _living(manager: Any, kind: str, **conditions: Any) -> QuerySet[Any, Any]:
    """A query for the kind and, as text, the primary key of what still is."""
    key = Cast("pk", CharField(max_length=255))
    query: QuerySet[Any, Any] = manager.filter(**conditions).order_by()
    return query.values_list(Value(kind), key)


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _ask(queries: list[QuerySet[Any, Any]]) -> dict[str, set[str]]:
    """What the queries find, by kind; those of one database are asked as one."""
    by_database: dict[str, list[QuerySet[Any, Any]]] = {}
    for query in queries:
        by_database.setdefault(query.db, []).append(query)
    found: dict[str, set[str]] = {"session": set(), "user": set()}
    for first, *others in by_database.values():
        for kind, key in first.union(*others, all=True) if others else first:
            found[kind].add(key)
    return found
