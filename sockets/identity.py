"""Whose a connection is, and which sessions and users are no more."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import CharField, Model, QuerySet, Value
from django.db.models.functions import Cast
from django.utils import timezone

from .broadcasts import Place
from .scope import Scope, get_user
from .sessions import find_session

CHUNK = 10_000
"""Sessions, and users, that one query names: SQLite takes 32,766 values at most
(SQLITE_MAX_VARIABLE_NUMBER)."""

Query = QuerySet[Any, Any]


class Identity(msgspec.Struct, frozen=True):
    """The session and the user that a connection came with; empty where it has none."""

    session_key: str = ""
    store: type[SessionBase] | None = None
    session_found: bool = False
    """Whether the session was loaded: a key that nobody looked up is any text of the client's."""
    user_pk: Any = None
    user_found: bool = False
    """Whether the user is an active one of the project's users, and no token's or service's."""

    @classmethod
    def of(cls, scope: Scope) -> "Identity":
        session = scope.get("session")
        if session is None and scope.get("user") is None:
            return NOBODY
        user = get_user(scope)
        key = getattr(session, "session_key", None) or ""
        if not (key.isascii() and key.isprintable()):
            key = ""  # no database can hold it
        store = session.__class__ if isinstance(session, SessionBase) else None
        pk, user_found = getattr(user, "pk", None) if user.is_authenticated else None, False
        if pk is not None and isinstance(user, get_user_model()):
            pk, user_found = _read_pk(pk), getattr(user, "is_active", True)
        elif isinstance(user, Model):
            pk = None  # one of another model, whose keys mean others
        return cls(key, store, bool(key) and _was_found(session), pk, user_found)

    @property
    def user_id(self) -> Any:
        """The user as a row can link it; None for a service that has a name in place of a key."""
        try:
            pk = _read_pk(self.user_pk)
        except ValidationError:
            return None
        return pk if str(pk) == str(self.user_pk) else None

    @property
    def places(self) -> set[Place]:
        """Where broadcasts about this session or this user find it."""
        places: set[Place] = set()
        if self.session_key:
            places.add(("session", storable_key(self.session_key)))
        if self.user_pk is not None:
            places.add(("user", str(self.user_pk)))
        return places


NOBODY = Identity()
"""Whose most connections without a session are."""


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
    users = {identity.user_pk for identity in identities if identity.user_found}
    sessions = {
        identity.session_key: identity.store
        for identity in identities
        if identity.session_found and identity.store
    }
    in_database = {
        key: store for key, store in sessions.items() if issubclass(store, DatabaseStore)
    }
    living = _ask(_session_queries(in_database), _user_queries(list(users)))
    ended = in_database.keys() - living["session"]
    for key in sessions.keys() - in_database.keys():
        if find_session(sessions[key], key) is None:
            ended.add(key)
    return ended, users - set(map(_read_pk, living["user"]))


def _was_found(session: Any) -> bool:
    data = getattr(session, "_session_cache", None)
    # One of signed cookies has the key of whatever it was given.
    return bool(data) if isinstance(session, CookieStore) else data is not None


def _read_pk(pk: Any) -> Any:
    """A user's primary key as its field has it: a UUID, for one, is written in several ways."""
    return get_user_model()._meta.pk.to_python(pk)


def _session_queries(stores: dict[str, Any]) -> Iterator[Query]:
    for store in set(stores.values()):
        keys = [key for key, other in stores.items() if other is store]
        for chunk in _chunks(keys):
            conditions = {"session_key__in": chunk, "expire_date__gt": timezone.now()}
            yield _living("session", store.get_model_class(), conditions)


def _user_queries(users: list[Any]) -> Iterator[Query]:
    model = get_user_model()
    has_switch = any(field.name == "is_active" for field in model._meta.get_fields())
    active = {"is_active": True} if has_switch else {}
    for chunk in _chunks(users):
        yield _living("user", model, {"pk__in": chunk, **active})


def _living(kind: str, model: type[Model], conditions: dict[str, Any]) -> Query:
    """A query for the kind and, as text, the primary key of what still is.

    It goes to the database that is written to: a copy of it may not know a new session yet.
    """
    rows = model._default_manager.using(router.db_for_write(model)).filter(**conditions)
    return rows.order_by().values_list(Value(kind), Cast("pk", CharField(max_length=255)))


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _ask(sessions: Iterator[Query], users: Iterator[Query]) -> dict[str, set[str]]:
    """What the queries find, by kind; two of one database are asked as one."""
    found: dict[str, set[str]] = {"session": set(), "user": set()}
    for pair in zip_longest(sessions, users):
        queries = [query for query in pair if query is not None]
        if len({query.db for query in queries}) == 1:
            queries = [queries[0].union(*queries[1:], all=True)]
        for query in queries:
            for kind, key in query:
                found[kind].add(key)
    return found
