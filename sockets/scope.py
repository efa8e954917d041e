"""What an ASGI scope tells about a connection, read as on a Django request."""

from ipaddress import ip_address
from typing import Any

from django.http import HttpHeaders

from .conf import get_settings
from .protocols.base import Protocol

Scope = dict[str, Any]


def read_headers(scope: Scope) -> HttpHeaders:
    """The handshake's headers, as `request.headers`: case-insensitive, latin-1.

    Names with underscores are left out, as Django does: they could pass for others.
    """
    environ: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        if b"_" in name:
            continue
        key = HttpHeaders.to_wsgi_name(name.decode("latin-1"))
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return HttpHeaders(environ)


def client_ip(scope: Scope) -> str | None:
    """The client's address, or None where it is not known (a Unix socket).

    With `SOCKETS["TRUSTED_PROXIES"]` set to n, the n last hops of X-Forwarded-For are
    trusted to have told whom they were asked by; without, the header is not looked at.
    """
    client = scope.get("client")
    hops = [str(client[0]) if client else ""]
    if proxies := get_settings().TRUSTED_PROXIES:
        forwarded = read_headers(scope).get("X-Forwarded-For", "")
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] + hops
        hops = hops[: max(1, len(hops) - proxies)]
    try:
        address = ip_address(_without_port(hops[-1]))
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def get_user(scope: Scope) -> Any:
    """The scope's user; `AnonymousUser` where nobody is logged in or no middleware asked."""
    user = scope.get("user")
    return anonymous_user() if user is None else user


def anonymous_user() -> Any:
    """Nobody, as Django has it."""
    # Its module holds models, which may be loaded only once the apps are.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def negotiate(scope: Scope, protocols: tuple[Protocol, ...]) -> tuple[Protocol, str | None]:
    """The first protocol that the client asks for by its subprotocol, and that name.

    A client that asks for none, or for none of these, gets the first protocol.
    """
    for subprotocol in scope.get("subprotocols") or ():
        for protocol in protocols:
            if protocol.subprotocol == subprotocol:
                return protocol, subprotocol
    return protocols[0], None
