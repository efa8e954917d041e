"""Tickets: tokens that open one socket, each once and soon, for who has no cookie to show."""

import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from importlib import import_module
from itertools import chain
from math import ceil, inf
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.core.signing import BadSignature, Signer
from django.db import router, transaction
from django.utils import timezone

from .scope import Scope, get_user
from .sessions import find_session
from .sync import blocking
from .writer import Send

if TYPE_CHECKING:
    from .models import Ticket

logger = logging.getLogger("sockets")

MAX_AGE = 60.0
"""Seconds that a token lasts, unless it is made with another `max_age`."""
BATCH = 1000
"""Expired tickets that are deleted at once."""
TOKEN = re.compile(r"[\w-]{32}\.\d{1,12}\.[\w-]{43}", re.ASCII)
"""A random text, when it expires, and the signature of both: fit for URLs and subprotocols."""
IN_QUERY = re.compile(r"(?:^|&)token=([^&]*)")
"""Its value as it is, for nothing in a token is ever escaped."""
IN_PATH = "ticket"
"""What a path has in the place of a token that was taken out of it."""


@blocking
def get_websocket_token(user_or_request: Any, *, max_age: float = MAX_AGE) -> str:
    """A token that opens one socket as this user, within `max_age` seconds.

    With a request it also ends with the session in which the user is logged in, and so does the
    socket. Somebody who is not logged in gets one that opens nothing.
    """
    if not 0 < max_age < inf:
        raise ValueError(f"expected max_age in seconds, more than 0, got {max_age!r}")
    is_request = hasattr(user_or_request, "META")
    user = user_or_request.user if is_request else user_or_request
    is_known = isinstance(user, get_user_model()) and user.pk is not None
    if not is_known and getattr(user, "is_authenticated", True):
        raise TypeError(f"expected a request or a saved user of the project, got {user!r}")
    token = _signer().sign(f"{token_urlsafe(24)}.{ceil(time.time() + max_age)}")
    if is_known:
        tickets = _tickets()
        tickets.create(
            digest=_digest(token),
            user_id=user.pk,
            auth_hash=_digest(next(_auth_hashes(user))),
            session_key=_session_key(user_or_request, user) if is_request else "",
            expires=timezone.now() + timedelta(seconds=max_age),
        )
        # Not in the caller's transaction, where it could wait for those of others.
        transaction.on_commit(prune_tickets, using=tickets.db, robust=True)
    return token


@blocking
def validate_websocket_token(scope: Scope, *, token: object = None) -> bool:
    """Whether the connection has a valid token; from then on that is used, and opens nothing more.

    It is looked for in the URL argument `token`, the path, the query's `token` and the
    subprotocols, or given. Where it is valid, the scope's user is the token's. In a scope with
    somebody who is logged in, only a token of the same user and session is valid.
    """
    if token is None and scope.get("ticket"):
        return True  # TicketMiddleware has taken it
    try:
        return _redeem(scope, next(_tokens_in(scope), None) if token is None else token)
    except Exception:
        # Whatever is wrong, a database that is away or what the client has sent: it stays outside.
        logger.exception("A ticket cannot be looked at")
        return False


async def aget_websocket_token(user_or_request: Any, *, max_age: float = MAX_AGE) -> str:
    return await sync_to_async(get_websocket_token)(user_or_request, max_age=max_age)


async def avalidate_websocket_token(scope: Scope, *, token: object = None) -> bool:
    return await sync_to_async(validate_websocket_token)(scope, token=token)


def prune_tickets() -> int:
    """Delete expired tickets, `BATCH` at most; returns how many."""
    tickets = _tickets()
    # By their keys: a range of times would wait for what transactions have just written beside it.
    expired = tickets.filter(expires__lt=timezone.now()).values_list("pk", flat=True)
    digests = list(expired[:BATCH])
    return tickets.filter(pk__in=digests).delete()[0] if digests else 0


class TicketMiddleware:
    """Where a handshake has a valid token, the scope's user is the token's.

    It stands inside `AuthMiddlewareStack`. What comes after it sees tokens neither in the path
    nor among the subprotocols; a handler with `login_required` also takes one by first message.
    """

    def __init__(self, application: Callable[[Scope, Any, Send], Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "websocket":
            scope = dict(scope)
            brings_one = next(_tokens_in(scope), None) is not None  # else no thread is asked
            scope["ticket"] = brings_one and await avalidate_websocket_token(scope)
            scope["path"] = _without_tokens(scope["path"])
            if raw_path := scope.get("raw_path"):
                scope["raw_path"] = _without_tokens(raw_path.decode("latin-1")).encode("latin-1")
            offered = scope.get("subprotocols") or ()
            scope["subprotocols"] = [name for name in offered if not _is_token(name)]
        await self.application(scope, receive, send)


def _tokens_in(scope: Scope) -> Iterator[str]:
    """What may be a token, in all places where a handshake can have one."""
    query = scope.get("query_string", b"").decode("latin-1")
    places = chain(
        [scope.get("url_route", {}).get("kwargs", {}).get("token")],
        scope.get("path", "").split("/"),
        IN_QUERY.findall(query),
        scope.get("subprotocols") or (),
    )
    return filter(_is_token, places)


def _without_tokens(path: str) -> str:
    return "/".join(IN_PATH if _is_token(part) else part for part in path.split("/"))


def _is_token(value: object) -> bool:
    return isinstance(value, str) and TOKEN.fullmatch(value) is not None


def _redeem(scope: Scope, token: Any) -> bool:
    if not (_is_token(token) and _is_in_force(token)):
        return False
    tickets = _tickets()
    # The first statement is the one that decides: of two at once it lets one through. It has a
    # savepoint, so that a caller's transaction outlives a fault of the database.
    with transaction.atomic(using=tickets.db):
        if not tickets.filter(pk=_digest(token), used=False).update(used=True):
            return False
    ticket = tickets.get(pk=_digest(token))
    user = _find_user(ticket)
    if user is None:
        return False
    session = _find_session(ticket, user)
    if ticket.session_key and session is None:
        return False
    if get_user(scope).is_authenticated:
        return get_user(scope) == user and _is_same_session(scope.get("session"), ticket)
    scope["user"] = user
    if session is not None:
        scope["session"] = session
    return True


def _is_in_force(token: str) -> bool:
    """Whether the token is signed, and not expired."""
    try:
        signed = _signer().unsign(token)
    except BadSignature:
        return False
    return time.time() <= int(signed.rpartition(".")[2])


def _find_user(ticket: "Ticket") -> Any:
    """The ticket's user, unless deleted, deactivated, or with another password meanwhile."""
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
    user = users.filter(pk=ticket.user_id).first()
    if user is None or not getattr(user, "is_active", True):
        return None
    known = any(_digest(auth_hash) == ticket.auth_hash for auth_hash in _auth_hashes(user))
    return user if known else None


def _find_session(ticket: "Ticket", user: Any) -> SessionBase | None:
    """The session that the ticket was made in, if its user is still logged in there."""
    if not ticket.session_key:
        return None
    store = import_module(settings.SESSION_ENGINE).SessionStore
    session = find_session(store, ticket.session_key)
    return session if session is not None and _is_users(session, user) else None


def _is_same_session(session: Any, ticket: "Ticket") -> bool:
    key = getattr(session, "session_key", None)
    return not (key and ticket.session_key) or key == ticket.session_key


def _session_key(request: Any, user: Any) -> str:
    """The key of the session in which the user is logged in; empty where it was another way."""
    session = getattr(request, "session", None)
    if session is None or not _is_users(session, user):
        return ""
    return session.session_key or ""


def _is_users(session: Any, user: Any) -> bool:
    return bool(session.get(SESSION_KEY) == user._meta.pk.value_to_string(user))


def _auth_hashes(user: Any) -> Iterator[str]:
    """What changes with the user's password: now, and by the keys that were in use before."""
    if hasattr(user, "get_session_auth_hash"):
        yield user.get_session_auth_hash()
        yield from user.get_session_auth_fallback_hash()
    else:
        yield ""


def _tickets() -> Any:
    model: type[Ticket] = apps.get_model("sockets", "Ticket")
    return model._default_manager.using(router.db_for_write(model))


def _signer() -> Signer:
    return Signer(salt="sockets.tokens", sep=".")  # a colon cannot be in a subprotocol's name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
