"""What a handler knows of its connection: whose it is, where it leads, what it remembers."""

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpHeaders
from django.utils.functional import cached_property

from .attributes import Attributes
from .member import Member
from .rows import make_row
from .scope import Scope, client_ip, get_user, read_headers
from .sessions import SessionChanges

if TYPE_CHECKING:
    from .models import Socket


class Connection(Attributes):
    """Much of it is read as on a Django request."""

    # Slots, for with many clients at once Python gives up sharing the keys of instances.
    __slots__ = ("_member", "_session_changes", "scope")
    scope: Scope
    _member: Member
    _session_changes: SessionChanges | None

    @property
    def user(self) -> Any:
        """The user of the handshake's session, or an `AnonymousUser`."""
        return get_user(self.scope)

    @property
    def session(self) -> Any:
        """The handshake's session; what a function or hook changes in it is saved after it."""
        session = self.scope.get("session")
        if self._session_changes is None and isinstance(session, SessionBase):
            # The first of several threads makes them for all.
            changes = vars(self).setdefault("_changes", SessionChanges(session))
            self._session_changes = changes
        return session

    @property
    def id(self) -> uuid.UUID:
        """Names this connection; the primary key of its row."""
        return self._member.id

    @property
    def path(self) -> str:
        return self.scope["path"]  # type: ignore[no-any-return]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The URL's arguments, as in a view."""
        return self.scope.get("url_route", {}).get("kwargs", {})  # type: ignore[no-any-return]

    @cached_property
    def headers(self) -> HttpHeaders:
        """The handshake's headers, as `request.headers`."""
        return read_headers(self.scope)

    @property
    def user_ip(self) -> str | None:
        return client_ip(self.scope)

    @cached_property
    def state(self) -> SimpleNamespace:
        """Whatever the functions of this connection want to remember."""
        return SimpleNamespace()

    @cached_property
    def view(self) -> Any:
        """An instance of the view class with this path's `kwargs`; None without a view."""
        if self.view_class is None:
            return None
        view: Any = self.view_class(**self.scope.get("view_initkwargs", {}))
        view.args = self.scope.get("url_route", {}).get("args", ())
        view.kwargs = self.kwargs
        return view

    @cached_property
    def row(self) -> "Socket":
        """This connection's `Socket`; it is in the database from accept on."""
        return make_row(self)
