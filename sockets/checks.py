"""The system checks of a view and its socket, and the order in which all are made."""

import sys
from collections.abc import Iterator
from typing import TypeVar

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string
from django.views import View

from . import project_checks, route_checks
from .compat.observable import MissingMethod, SocketRouterConsumer
from .functions import name_of
from .handlers import RoutedSocketHandler
from .mounts import Mount, Mounted, find_mounts
from .router import SocketRouter

T = TypeVar("T")

LOGIN_MIDDLEWARE = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def check_sockets() -> list[CheckMessage]:
    """What is wrong with the sockets at the project's URLs, and with the settings for them."""
    try:
        mounts = list(find_mounts())
    except Exception:
        return []  # Django's own checks tell what is wrong with the URLs
    mounted, found = _make_handlers(mounts)
    found += _check_unmounted(mounts)
    if not mounts:
        _load_application()  # where sockets are, if there are any, they stand on no view
    found += _check_consumers()
    for check in (check_login, *route_checks.CHECKS, *project_checks.CHECKS):
        found += check(mounted)
    return found


def check_deployment() -> list[CheckMessage]:
    """What `manage.py check --deploy` adds."""
    return list(project_checks.check_production_server())


def _make_handlers(mounts: list[Mount]) -> tuple[Mounted, list[CheckMessage]]:
    """The Handlers with where they are mounted, and an error for each that cannot be made."""
    mounted: Mounted = {}
    faults: dict[type, CheckMessage] = {}
    for mount in mounts:
        try:
            mounted.setdefault(mount.router.Handler, []).append(mount)
        except Exception as fault:
            faults[mount.view_class] = Error(
                f"The socket at {mount.path} cannot be made: {fault}",
                hint="Until this is repaired, no client can connect.",
                obj=mount.view_class,
                id="sockets.E001",
            )
    return mounted, list(faults.values())


def _check_unmounted(mounts: list[Mount]) -> list[CheckMessage]:
    if not _find_unmounted(mounts) or not _load_application():
        return []
    return [
        Warning(
            f"The socket of {name_of(view_class)} is never mounted: no URL leads to its view, and "
            "its Handler is not used.",
            hint="Give the view a URL; or mount its Handler.as_asgi() in the module that "
            "ASGI_APPLICATION names.",
            obj=view_class,
            id="sockets.W001",
        )
        for view_class in _find_unmounted(mounts)
    ]


def _check_consumers() -> list[CheckMessage]:
    """A warning for each route that a consumer of those that were imported has no method for."""
    return [
        Warning(
            f"{name_of(consumer)} has the route {route.keys[0]!r} but no method "
            f"{route.function.method!r}: its messages are answered with 500.",
            hint="Write the method, or delete the route.",
            obj=consumer,
            id="sockets.W012",
        )
        for consumer in sorted(_with_subclasses(SocketRouterConsumer), key=name_of)
        for route in consumer._declared.own_routes
        if isinstance(route.function, MissingMethod)
    ]


def _load_application() -> bool:
    """Import what may mount a Handler by hand; False if it cannot be, so that nobody knows."""
    path: str | None = getattr(settings, "ASGI_APPLICATION", None)
    try:
        if path:
            import_string(path)
    except Exception:
        return False
    return True


def _find_unmounted(mounts: list[Mount]) -> list[type]:
    mounted = {owner for mount in mounts for owner in mount.view_class.__mro__}
    return [
        view_class
        for view_class in sorted(_with_subclasses(View), key=name_of)
        if view_class not in mounted
        and _routers_in(view_class)
        and _is_current(view_class)
        and not any(
            router._included or router._handler is not None
            for owner in _with_subclasses(view_class)
            for router in _routers_in(owner)
        )
    ]


def _is_current(view_class: type) -> bool:
    # When a module is loaded again, the classes that it had live on for a while.
    module = sys.modules.get(view_class.__module__)
    return module is not None and getattr(module, view_class.__name__, view_class) is view_class


def _routers_in(view_class: type) -> list[SocketRouter]:
    return [value for value in vars(view_class).values() if isinstance(value, SocketRouter)]


def _with_subclasses(owner: type[T]) -> set[type[T]]:
    return {owner}.union(*(_with_subclasses(below) for below in owner.__subclasses__()))


def check_login(mounted: Mounted) -> Iterator[CheckMessage]:
    """Sockets that let everybody in while their page does not."""
    for handler, mounts in mounted.items():
        paths = [mount.path for mount in mounts if _is_guarded(mount)]
        if paths and not _decides_about_login(handler):
            yield Warning(
                f"The page of {name_of(mounts[0].view_class)} at {', '.join(paths)} is not for "
                "everybody, but its socket is.",
                hint=f"Set {_advice(mounts)} on the router, or guards; login_required = False "
                "says that it is meant to be open.",
                obj=mounts[0].view_class,
                id="sockets.W004",
            )


def _is_guarded(mount: Mount) -> bool:
    # By name: the module of AccessMixin holds models, which may be loaded once the apps are.
    mixins = {f"{owner.__module__}.{owner.__qualname__}" for owner in mount.view_class.__mro__}
    if "django.contrib.auth.mixins.AccessMixin" in mixins:
        return True
    # Django's decorators leave these on a view for the middleware.
    if all(hasattr(mount.callback, name) for name in ("login_url", "redirect_field_name")):
        return True
    is_open = getattr(mount.callback, "login_required", True) is False
    return LOGIN_MIDDLEWARE in settings.MIDDLEWARE and not is_open


def _advice(mounts: list[Mount]) -> str:
    """What asks of a client what the page asks of its visitors."""
    required = getattr(mounts[0].view_class, "permission_required", None)
    if not required:
        return "login_required = True"
    return f"permissions = {[required] if isinstance(required, str) else list(required)!r}"


def _decides_about_login(handler: type[RoutedSocketHandler]) -> bool:
    owners = handler.__mro__[: handler.__mro__.index(RoutedSocketHandler)]
    decided = any("login_required" in vars(owner) for owner in owners)
    return decided or bool(handler._declared.access)
