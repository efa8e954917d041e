"""Groups that clients join by themselves: the frames JOIN and LEAVE, and the rules."""

import asyncio
import re

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404

from sockets import Reply, RoutedSocketHandler, SocketError, SocketRouter, groups
from sockets.hub import Hub

from .clients import client_of

REFUSED = "You may not join this group."


def router_with(rule, pattern=r"room-(?P<id>\d+)$"):
    router = SocketRouter()
    router.group(pattern)(rule)
    router.route("JOINED")(joined)
    return router


async def joined(socket):
    return socket.joined


async def allow(socket):
    pass


async def join(client, group, **fields):
    return await client.ask({"type": "JOIN", "ref": 1, "group": group, **fields})


async def leave(client, group):
    return await client.ask({"type": "LEAVE", "ref": 2, "group": group})


async def groups_of(client):
    return (await client.ask({"type": "JOINED", "ref": 3}))["data"]


# JOIN


async def test_a_client_joins_what_a_rule_allows():
    async with client_of(router_with(allow)) as client, client_of(router_with(allow)) as other:
        assert await join(client, "room-7") == {"type": "JOIN", "ref": 1, "status": 204}
        assert await join(client, "room-8") == {"type": "JOIN", "ref": 1, "status": 204}
        assert await groups_of(client) == ["room-7", "room-8"]
        await groups.asend_json("room-7", "news")
        assert await client.receive_json_from() == "news"
        assert await groups_of(other) == []


@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize(
    ("returned", "status", "data"),
    [
        (None, 204, None),
        (True, 204, None),
        ({"topic": "tea"}, 200, {"topic": "tea"}),
        ([], 200, []),
        (0, 200, 0),
        ("", 200, ""),
        (({"topic": "tea"}, 201), 201, {"topic": "tea"}),
        (Reply("tea", 202), 202, "tea"),
    ],
)
async def test_what_the_rule_returns_is_the_answer(colour, returned, status, data):
    if colour == "def":
        router = router_with(lambda socket: returned)
    else:

        async def rule(socket):
            return returned

        router = router_with(rule)
    async with client_of(router) as client:
        answer = await join(client, "room-7")
        assert (answer["status"], answer.get("data")) == (status, data)
        assert await groups_of(client) == ["room-7"]


def raising(fault):
    def rule(socket):
        raise fault

    return rule


@pytest.mark.parametrize(
    ("rule", "status", "details"),
    [
        (lambda socket: False, 403, REFUSED),
        (raising(PermissionDenied("Members only.")), 403, "Members only."),
        (raising(SocketError("Full.", status=409)), 409, "Full."),
        (raising(Http404("No such room.")), 404, "No such room."),
        (raising(User.DoesNotExist()), 404, None),
    ],
)
async def test_a_rule_may_refuse(rule, status, details):
    async with client_of(router_with(rule)) as client:
        answer = await join(client, "room-7")
        assert (answer["type"], answer["ref"], answer["status"]) == ("ERROR", 1, status)
        if details:
            assert answer["details"] == details
        assert await groups_of(client) == []


async def test_a_rule_that_fails_refuses(caplog):
    async with client_of(router_with(raising(ValueError("broken")))) as client:
        assert (await join(client, "room-7"))["status"] == 500
        assert await groups_of(client) == []
    assert "broken" in caplog.text


async def test_an_answer_with_an_error_status_refuses():
    async with client_of(router_with(lambda socket: ("Full.", 409))) as client:
        answer = await join(client, "room-7")
        assert (answer["status"], answer["data"]) == (409, "Full.")
        assert await groups_of(client) == []


@pytest.mark.parametrize("group", ["lobby", "", "room-", "room-x", "a room-7", "ROOM-7"])
async def test_what_no_rule_is_for_is_refused(group):
    async with client_of(router_with(allow)) as client:
        answer = await join(client, group)
        assert (answer["status"], answer["details"]) == (403, REFUSED)
        assert (await leave(client, group))["status"] == 403
        assert await groups_of(client) == []


async def test_without_any_rule_nobody_joins():
    async with client_of(RoutedSocketHandler) as client:
        assert (await join(client, "room-7"))["status"] == 403
        assert (await leave(client, "room-7"))["status"] == 403


@pytest.mark.parametrize("type", ["JOIN", "LEAVE"])
@pytest.mark.parametrize(
    "fields", [{}, {"group": None}, {"group": 7}, {"group": ["room-7"]}, {"Group": "room-7"}]
)
async def test_the_group_is_a_string(type, fields):
    async with client_of(router_with(allow)) as client:
        answer = await client.ask({"type": type, "ref": 1, **fields})
        assert (answer["ref"], answer["status"]) == (1, 400)
        assert answer["errors"][0]["field"] == "group"


async def test_without_a_ref_a_join_that_is_refused_is_told_all_the_same():
    async with client_of(router_with(allow)) as client:
        await client.send_json_to({"type": "JOIN", "group": "room-7"})
        answer = await client.ask({"type": "JOIN", "group": "lobby"})
        assert (answer["status"], "ref" in answer) == (403, False)
        assert await groups_of(client) == ["room-7"]


async def test_of_the_rules_that_match_the_last_decides():
    router = router_with(lambda socket: False, r"room-.*")
    router.group(r"room-(?P<id>\d+)$")(lambda socket: "a number")
    router.group(r"room-7$")(lambda socket: False)
    async with client_of(router) as client:
        assert (await join(client, "room-x"))["status"] == 403
        assert (await join(client, "room-8"))["data"] == "a number"
        assert (await join(client, "room-7"))["status"] == 403
        assert await groups_of(client) == ["room-8"]


async def test_a_rule_is_given_what_routes_are():
    given = []

    def rule(socket, content, id, user, state, ref, *, key: str = ""):
        given.append((content["group"], id, user.is_anonymous, vars(state), ref, key))

    async with client_of(router_with(rule)) as client:
        assert (await join(client, "room-7", key="secret"))["status"] == 204
        assert (await join(client, "room-7", key=5))["status"] == 400
    assert given == [("room-7", "7", True, {}, 1, "secret")]


async def test_a_rule_is_given_url_arguments():
    def rule(socket, id, *, group: str):
        return id == "table" and group

    scope = {"url_route": {"kwargs": {"id": "table"}}}
    async with client_of(router_with(rule, re.compile(".+")), **scope) as client:
        assert (await join(client, "any"))["data"] == "any"


async def test_joining_again_asks_the_rule_again_and_changes_nothing():
    async with client_of(router_with(lambda socket: "welcome")) as client:
        for _ in range(2):
            assert (await join(client, "room-7"))["data"] == "welcome"
        assert await groups_of(client) == ["room-7"]


# LEAVE


async def test_a_client_leaves():
    async with client_of(router_with(allow)) as client:
        await join(client, "room-7")
        assert await leave(client, "room-7") == {"type": "LEAVE", "ref": 2, "status": 204}
        assert await groups_of(client) == []
        await groups.asend_json("room-7", "news")
        assert await leave(client, "room-7") == {"type": "LEAVE", "ref": 2, "status": 204}


async def test_leaving_does_not_ask_the_rule():
    asked = []
    async with client_of(router_with(lambda socket: asked.append(1))) as client:
        await join(client, "room-7")
        await leave(client, "room-7")
    assert asked == [1]


async def test_what_the_server_put_a_client_in_it_cannot_leave_without_a_rule():
    router = router_with(allow)

    @router.connect
    def on_connect(socket):
        socket.join("banned")

    async with client_of(router) as client:
        assert (await leave(client, "banned"))["status"] == 403
        assert await groups_of(client) == ["banned"]


# Limits and order


async def test_there_is_a_limit_to_the_groups_of_a_client():
    router = router_with(lambda socket: "welcome")
    router.max_groups = 2
    async with client_of(router) as client:
        await join(client, "room-1")
        await join(client, "room-2")
        answer = await join(client, "room-3")
        assert (answer["status"], answer["ref"]) == (429, 1)
        assert answer["details"] == "expected at most 2 groups; leave one first."
        assert (await join(client, "room-2"))["data"] == "welcome"
        await leave(client, "room-1")
        assert (await join(client, "room-3"))["data"] == "welcome"
        assert await groups_of(client) == ["room-2", "room-3"]


async def test_the_server_itself_may_join_any_number():
    router = router_with(allow)
    router.max_groups = 1

    @router.connect
    def on_connect(socket):
        for number in range(5):
            socket.join(f"{number}")

    async with client_of(router) as client:
        assert len(await groups_of(client)) == 5
        assert (await join(client, "room-1"))["status"] == 429


async def test_joins_keep_their_place_among_the_messages():
    entered, goes_on = asyncio.Event(), asyncio.Event()

    async def rule(socket):
        entered.set()
        await goes_on.wait()

    async with client_of(router_with(rule)) as client:
        await client.send_json_to({"type": "JOIN", "ref": 1, "group": "room-7"})
        await client.send_json_to({"type": "JOINED", "ref": 2})
        await entered.wait()
        await groups.asend_json("room-7", "not a member yet")
        goes_on.set()
        assert (await client.receive_json_from())["ref"] == 1
        assert (await client.receive_json_from())["data"] == ["room-7"]


async def test_a_client_that_is_gone_when_the_rule_has_decided_is_in_no_group():
    entered = asyncio.Event()

    async def rule(socket):
        entered.set()
        await asyncio.Event().wait()

    async with client_of(router_with(allow)) as other:
        async with client_of(router_with(rule)) as client:
            await client.send_json_to({"type": "JOIN", "ref": 1, "group": "room-7"})
            await entered.wait()
        assert await groups_of(other) == []
        assert list(Hub.current().members._by_place) == [("path", "/")]


async def test_a_route_of_ones_own_replaces_them():
    router = router_with(allow)

    @router.route("JOIN", "LEAVE")
    def on_any(socket, content):
        return content["group"]

    async with client_of(router) as client:
        assert (await join(client, "room-7"))["data"] == "room-7"
        assert (await leave(client, "room-7"))["data"] == "room-7"
        assert await groups_of(client) == []
