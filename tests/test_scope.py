"""What an ASGI scope tells about a connection, read as on a Django request."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.asgi import ASGIRequest
from django.test import override_settings

from sockets.protocols.base import Protocol
from sockets.scope import client_ip, get_user, negotiate, read_headers


class Json(Protocol):
    subprotocol = "json"


class Pack(Protocol):
    subprotocol = "pack"


class Plain(Protocol): ...


def scope_of(client="10.0.0.1", forwarded=(), **scope):
    """A scope with a client's address and an X-Forwarded-For header for each text."""
    headers = [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded]
    return {"client": client and [client, 5000], "headers": headers, **scope}


def ip_behind(proxies, *args, **kwargs):
    with override_settings(SOCKETS={"TRUSTED_PROXIES": proxies}):
        return client_ip(scope_of(*args, **kwargs))


# Headers


def test_headers_are_those_of_a_request():
    headers = read_headers(
        {
            "headers": [
                (b"host", b"testserver"),
                (b"content-type", b"text/plain"),
                (b"content-length", b"0"),
                (b"x-name", "Jos\xe9".encode("latin-1")),
                (b"accept", b"a"),
                (b"accept", b"b"),
            ]
        }
    )
    assert headers["Host"] == headers["host"] == headers["HOST"] == "testserver"
    assert headers["Content-Type"] == "text/plain"
    assert headers["Content-Length"] == "0"
    assert headers["X-Name"] == "Jos\xe9"
    assert headers["Accept"] == "a,b"
    assert headers.get("Origin") is None


def test_a_scope_may_have_no_headers():
    assert dict(read_headers({})) == {}


def test_headers_with_underscores_are_left_out_as_on_a_request():
    headers = [(b"x-name", b"true"), (b"x_name", b"forged"), (b"x_other", b"forged")]
    request = ASGIRequest({"path": "/", "method": "GET", "headers": headers}, None)
    assert request.headers.get("X-Name") == "true"
    assert dict(read_headers({"headers": headers})) == {"X-Name": "true"}


# Addresses


@pytest.mark.parametrize(
    ("client", "ip"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("not an address", None),
        ("", None),
        (None, None),
    ],
)
def test_the_address_of_the_client(client, ip):
    assert client_ip(scope_of(client)) == ip


def test_a_scope_may_have_no_client():
    assert client_ip({}) is None


def test_without_trusted_proxies_the_header_is_not_looked_at():
    assert client_ip(scope_of("10.0.0.1", ["1.2.3.4"])) == "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "ip"),
    [
        (1, ["1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (2, ["1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        (2, ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        (2, ["1.2.3.4"], "1.2.3.4"),
        (1, [], "10.0.0.1"),
        (3, [], "10.0.0.1"),
        (1, ["2001:db8::1"], "2001:db8::1"),
        (1, ["[2001:db8::1]"], "2001:db8::1"),
        (1, ["6.6.6.6, garbage"], None),
        (1, [" , 1.2.3.4 ,, "], "1.2.3.4"),
    ],
)
def test_trusted_proxies_tell_the_address(proxies, forwarded, ip):
    assert ip_behind(proxies, "10.0.0.1", forwarded) == ip


@pytest.mark.parametrize("client", [None, ""])
def test_a_proxy_at_a_unix_socket_is_a_hop_like_any_other(client):
    assert ip_behind(1, client, ["1.2.3.4"]) == "1.2.3.4"
    assert ip_behind(1, client, ["6.6.6.6, 1.2.3.4"]) == "1.2.3.4"
    assert ip_behind(2, client, ["6.6.6.6, 1.2.3.4, 10.0.0.2"]) == "1.2.3.4"
    assert ip_behind(1, client) is None


def test_a_header_with_underscores_forges_no_address():
    scope = scope_of("10.0.0.1", ["1.2.3.4"])
    scope["headers"].append((b"x_forwarded_for", b"6.6.6.6"))
    with override_settings(SOCKETS={"TRUSTED_PROXIES": 1}):
        assert client_ip(scope) == "1.2.3.4"


# Users


def test_the_user_is_the_scopes():
    user = User(username="ada")
    assert get_user({"user": user}) is user


@pytest.mark.parametrize("scope", [{}, {"user": None}])
def test_without_a_user_it_is_anonymous(scope):
    assert isinstance(get_user(scope), AnonymousUser)


# Subprotocols


@pytest.mark.parametrize(
    ("asked", "protocol", "subprotocol"),
    [
        ([], Json, None),
        (None, Json, None),
        (["other"], Json, None),
        (["json"], Json, "json"),
        (["pack"], Pack, "pack"),
        (["other", "pack", "json"], Pack, "pack"),
        (["json", "pack"], Json, "json"),
    ],
)
def test_the_first_subprotocol_that_the_client_asks_for_is_chosen(asked, protocol, subprotocol):
    chosen, name = negotiate({"subprotocols": asked}, (Json(), Plain(), Pack()))
    assert type(chosen) is protocol
    assert name == subprotocol


def test_a_protocol_without_a_subprotocol_is_chosen_only_as_the_first():
    chosen, name = negotiate({"subprotocols": ["other"]}, (Plain(), Json()))
    assert (type(chosen), name) == (Plain, None)
    assert type(negotiate({}, (Plain(),))[0]) is Plain


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("[2001:db8::1]:5678", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_addresses_lose_ports_and_ipv4_mapping(hop, address):
    assert client_ip({"client": (hop, 1)}) == address
