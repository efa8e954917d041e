"""Two processes of one project: what is sent in one, and what ends in one, concerns both."""

import asyncio
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from .channel_layers import KINDS, OwnRedis
from .conftest import until
from .projects import Pair, Site, check_log, site_of
from .servers import PATIENCE, Client, Server, eventually

LEASE = 3.0
"""Seconds, few enough for a test to wait until a lease has run out."""
END = {"type": "END"}
"""The frame that follows those that a test looks at."""


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with site_of(tmp_path_factory.mktemp("site"), carrier=request.param) as site:
        yield site


@pytest.fixture(scope="module")
def servers(site: Site) -> Iterator[Pair]:
    with site.pair() as servers:
        yield servers


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    """The two servers, in whose logs this test must leave nothing unusual."""
    for server in servers:
        server.mark()
    yield servers
    for server in servers:
        check_log(server)


# Clients


@asynccontextmanager
async def clients(
    servers: Iterable[Server], path: str, **options: Any
) -> AsyncIterator[dict[str, Client]]:
    """A client at this path of each of the servers, by the ids of their rows."""
    async with AsyncExitStack() as stack:
        found = {}
        for server in servers:
            client = await stack.enter_async_context(server.client(path, **options))
            found[(await client.ask("WHO"))["data"]["id"]] = client
        yield found


def new_name() -> str:
    return uuid.uuid4().hex


def new_room() -> str:
    return f"/room/{new_name()}/"


async def frames_until_end(client: Client) -> list[Any]:
    frames = []
    while (frame := await client.receive()) != END:
        frames.append(frame)
    return frames


async def frames_and_code(client: Client) -> tuple[list[Any], int | None]:
    """What comes until the server closes, and the code with which it does."""
    frames = []
    try:
        while True:
            frames.append(await client.receive())
    except ConnectionClosed:
        return frames, client.connection.close_code


async def is_logged_out(client: Client) -> bool:
    frames, code = await frames_and_code(client)
    return [frame["type"] for frame in frames] == ["RECONNECT"] and code == 4401


async def is_open(client: Client) -> bool:
    return (await client.ask("ECHO", text="hi"))["data"][0] == "hi"


async def rows_at(server: Server, **fields: Any) -> dict[str, dict[str, Any]]:
    """The rows that have these values, by id, as this server sees them."""
    shown = (await server.get_json("/rows/"))["rows"]
    return {
        row["id"]: row for row in shown if all(row[name] == value for name, value in fields.items())
    }


# Sending

SENDERS = (
    "def handler",
    "async def handler",
    "def view",
    "async def view",
    "script",
    "async script",
)


def rows(ids: Any, method: str, *args: Any, **options: Any) -> list[Any]:
    return ["rows", list(ids), method, args, options]


def group(name: str, method: str, *args: Any, **options: Any) -> list[Any]:
    return ["group", name, method, args, options]


def path(method: str, *args: Any, **options: Any) -> list[Any]:
    return ["path", None, method, args, options]


async def send_by(
    sender: str, site: Site, server: Server, client: Client, steps: list[Any]
) -> None:
    """Have the steps made by one of `SENDERS`: by that client's handler, by a view, by a script."""
    match sender:
        case "def handler":
            await client.send({"type": "SEND", "steps": steps})
        case "async def handler":
            await client.send({"type": "SEND_ASYNC", "steps": steps})
        case "def view":
            await server.post("/send/", steps)
        case "async def view":
            await server.post("/send-async/", steps)
        case "script":
            await run_script(site, f"send_all({steps!r})")
        case "async script":
            await run_script(site, f"asyncio.run(asend_all({steps!r}))")


async def run_script(site: Site, code: str) -> None:
    """Run code in a process that serves nobody."""
    imports = "import asyncio; from tests.live_project.rooms import asend_all, send_all"
    await asyncio.to_thread(site.manage, "shell", "-v0", "-c", f"{imports}\n{code}")


@pytest.mark.parametrize("sender", SENDERS)
async def test_what_is_sent_reaches_exactly_those_meant_once_and_in_order(site, pair, sender):
    a, b = pair
    club = new_name()
    async with clients([a, a, b, b], new_room()) as here:
        everyone = list(here)
        a1, a2, b1, b2 = everyone
        for member in (a2, b1):
            await here[member].ask("ENTER", group=club)
        sends = [
            (rows([a1, b1], "send_json", {"number": 1}), {"number": 1}, {a1, b1}),
            (
                rows([a2, b1, b2], "send_action", "MOVE", x=2),
                {"type": "MOVE", "x": 2},
                {a2, b1, b2},
            ),
            (rows(everyone, "send_str", "3"), 3, everyone),
            (rows(everyone, "send_json", 4, exclude=[a1, b2]), 4, {a2, b1}),
            (group(club, "send_json", 5), 5, {a2, b1}),
            (group(club, "send_action", "MOVE", x=6, exclude=[b1]), {"type": "MOVE", "x": 6}, {a2}),
            (rows([b2], "send_json", 7), 7, {b2}),
            (rows(everyone, "send_json", END), END, everyone),
        ]
        await send_by(sender, site, a, here[a1], [step for step, _, _ in sends])
        for id, client in here.items():
            meant = [frame for _, frame, ids in sends if id in ids and frame != END]
            assert await frames_until_end(client) == meant
        await a.post("/send/", [rows(everyone, "send_json", END)])
        for client in here.values():
            assert await frames_until_end(client) == []


@pytest.mark.parametrize("sender", SENDERS)
async def test_what_is_closed_is_closed_in_both_processes(site, pair, sender):
    a, b = pair
    club = new_name()
    async with clients([a, a, a, b, b, b], new_room()) as here:
        a1, a2, a3, b1, b2, b3 = here
        for member in (a2, b2):
            await here[member].ask("ENTER", group=club)
        steps = [rows([a1, b1], "close", 4321), group(club, "close", 4322)]
        await send_by(sender, site, a, here[a3], steps)
        for codes in ({a1: 4321, b1: 4321}, {a2: 4322, b2: 4322}):
            for id, code in codes.items():
                assert await frames_and_code(here[id]) == ([], code)
        assert await is_open(here[a3])
        assert await is_open(here[b3])


@pytest.mark.parametrize("sender", ["def handler", "async def handler"])
async def test_a_broadcast_reaches_the_path_in_both_processes(site, pair, sender):
    a, b = pair
    async with clients([a, a, b, b], new_room()) as here, clients([a, b], new_room()) as elsewhere:
        a1, _, b1, _ = here
        steps = [
            path("broadcast_json", 1),
            path("broadcast_action", "MOVE", x=2),
            path("broadcast_json", 3, exclude=["me", b1]),
            rows([*here, *elsewhere], "send_json", END),
        ]
        await send_by(sender, site, a, here[a1], steps)
        for id, client in here.items():
            last = [] if id in (a1, b1) else [3]
            assert await frames_until_end(client) == [1, {"type": "MOVE", "x": 2}, *last]
        for client in elsewhere.values():
            assert await frames_until_end(client) == []


@pytest.mark.parametrize("to", ["rows", "group", "path", "all three in turn"])
@pytest.mark.parametrize("type", ["BURST", "BURST_ASYNC"])
async def test_everyone_gets_a_burst_of_300_whole_and_in_order(pair, type, to):
    a, b = pair
    club = new_name()
    async with clients([a, a, b, b], new_room()) as here:
        for client in here.values():
            await client.ask("ENTER", group=club)
        ways = {
            "rows": rows(here, "send_json", 0),
            "group": group(club, "send_json", 0),
            "path": path("broadcast_json", 0),
        }
        steps = [ways[to]] if to in ways else list(ways.values())
        sender = next(iter(here.values()))
        await sender.send({"type": type, "steps": steps, "times": 300 // len(steps)})
        await sender.send({"type": "SEND", "steps": [rows(here, "send_json", END)]})
        expected = [number for number in range(300 // len(steps)) for _ in steps]
        for client in here.values():
            assert await frames_until_end(client) == expected


@pytest.mark.parametrize("sender", ["def view", "async def view", "script", "async script"])
async def test_a_burst_from_elsewhere_than_a_socket_arrives_whole_and_in_order(site, pair, sender):
    a, b = pair
    club = new_name()
    async with clients([a, a, b, b], new_room()) as here:
        for client in here.values():
            await client.ask("ENTER", group=club)
        steps = []
        for number in range(150):
            steps += [rows(here, "send_json", number), group(club, "send_json", number)]
        # A script ends as soon as it has sent the last one.
        await send_by(sender, site, a, client, [*steps, group(club, "send_json", END)])
        for client in here.values():
            assert await frames_until_end(client) == [n for n in range(150) for _ in range(2)]


async def test_a_server_without_connections_sends_to_the_other(site, pair):
    _, b = pair
    with site.serving("quiet") as quiet:
        async with clients([b, b], new_room()) as here:
            for page in ("/send/", "/send-async/"):
                for number in range(3):
                    await quiet.post(page, [rows(here, "send_json", number)])
                await quiet.post(page, [rows(here, "send_json", END)])
                for client in here.values():
                    assert await frames_until_end(client) == [0, 1, 2]
        quiet.signal(signal.SIGTERM)
        await eventually(quiet.has_ended)


async def test_clients_join_and_leave_in_one_process_and_are_sent_to_from_the_other(pair):
    a, b = pair
    club = f"room-{uuid.uuid4().int}"
    async with clients([b, b], new_room()) as here:
        member, other = here.values()
        joined = await member.ask("JOIN", group=club)
        assert joined["data"] == {"number": club.removeprefix("room-")}
        refused = await other.ask("JOIN", group=f"not-{club}")
        assert (refused["type"], refused["status"]) == ("ERROR", 403)
        both = rows(here, "send_json", END)
        await a.post("/send/", [group(club, "send_json", 1), both])
        assert await frames_until_end(member) == [1]
        assert await frames_until_end(other) == []
        await member.ask("LEAVE", group=club)
        await a.post("/send/", [group(club, "send_json", 2), both])
        assert await frames_until_end(member) == []


# Sessions and users that end

ENDS = {
    "a logout": "/log-out/",
    "the deletion of the session": "/end/session/",
    "the deletion of the user": "/end/user/",
    "the end of the user's permission": "/end/permission/",
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_is_logged_out_in_one_process_is_closed_in_both(pair, end):
    a, b = pair
    name, room = new_name(), new_room()
    tab = await a.get_cookie(f"/log-in/?name={name}")
    elsewhere = await b.get_cookie(f"/log-in/?name={name}")
    other = await b.get_cookie(f"/log-in/?name={new_name()}")
    async with (
        clients([a, b], room, cookie=tab) as tabs,
        clients([a, b], room, cookie=elsewhere) as same_user,
        clients([a, b], room, cookie=other) as other_user,
        clients([a, b], room) as nobody,
    ):
        await a.get(ENDS[end], cookie=tab)
        staying = {**other_user, **nobody}
        closing = dict(tabs)
        (closing if "user" in end else staying).update(same_user)
        for client in closing.values():
            assert await is_logged_out(client)
        for client in staying.values():
            assert await is_open(client)
        await eventually(
            lambda: rows_at(b, path=room), lambda found: found.keys() == staying.keys()
        )


async def test_a_script_that_deletes_a_user_closes_its_sockets_though_it_ends_at_once(site, pair):
    name = new_name()
    cookie = await pair[0].get_cookie(f"/log-in/?name={name}")
    async with clients(pair, new_room(), cookie=cookie) as here:
        user = f"User.objects.get(username={name!r})"
        await run_script(site, f"from django.contrib.auth.models import User\n{user}.delete()")
        for client in here.values():
            assert await is_logged_out(client)


async def test_a_login_keeps_the_sockets_of_the_anonymous_session_and_their_rows(pair):
    a, b = pair
    room = new_room()
    before = await a.get_cookie("/visit/")
    async with clients([a, b], room, cookie=before) as here:
        after = await a.get_cookie(f"/log-in/?name={new_name()}", cookie=before)
        key = after.partition("=")[2]
        assert key != before.partition("=")[2]
        kept = await eventually(lambda: rows_at(b, session_key=key), lambda found: len(found) == 2)
        assert kept.keys() == here.keys()
        # The old session's end is told later than the login; another one's is told after it.
        other = await a.get_cookie("/visit/")
        async with clients([a, b], room, cookie=other) as ending:
            await a.get("/end/session/", cookie=other)
            for client in ending.values():
                assert await is_logged_out(client)
        for client in here.values():
            assert await is_open(client)
        await a.get("/log-out/", cookie=after)
        for client in here.values():
            assert await is_logged_out(client)


async def test_a_login_as_another_user_closes_the_sockets_of_the_first(pair):
    a, b = pair
    room = new_room()
    first = await a.get_cookie(f"/log-in/?name={new_name()}")
    async with clients([a, b], room, cookie=first) as here:
        second = await a.get_cookie(f"/log-in/?name={new_name()}", cookie=first)
        for client in here.values():
            assert await is_logged_out(client)
        async with clients([a, b], room, cookie=second) as new:
            for client in new.values():
                assert await is_open(client)


# Connects that race with the end of their session


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("where", ["held", "gated"])
@pytest.mark.parametrize("same", [True, False], ids=["the same process", "the other process"])
async def test_a_connection_on_its_way_in_does_not_survive(pair, same, where, end):
    a, b = pair
    name = new_name()
    cookie = await b.get_cookie(f"/log-in/?name={name}")
    # Somebody is there already: for the first one, sessions are looked at.
    async with a.client(new_room()) as other:
        visiting = asyncio.create_task(visit(a, f"/{where}/{name}/", cookie))
        await eventually(lambda: a.get_json("/gates/"), lambda shown: name in shown["gates"])
        await (a if same else b).get(ENDS[end], cookie=cookie)
        await a.get(f"/gates/{name}/")
        assert await visiting
        assert await is_open(other)
    await eventually(lambda: rows_at(b, path=f"/{where}/{name}/"), lambda found: not found)


@pytest.mark.parametrize("end", ["a logout", "the end of the user's permission"])
@pytest.mark.parametrize("same", [True, False], ids=["the same process", "the other process"])
async def test_nor_does_one_that_comes_when_all_is_told(pair, same, end):
    a, b = pair
    name = new_name()
    cookie = await b.get_cookie(f"/log-in/?name={name}")
    other = await b.get_cookie("/visit/")
    async with a.client(new_room()) as staying, a.client(new_room(), cookie=other) as last:
        visiting = asyncio.create_task(visit(a, f"/held/{name}/", cookie))
        await eventually(lambda: a.get_json("/gates/"), lambda shown: name in shown["gates"])
        ending = a if same else b
        await ending.get(ENDS[end], cookie=cookie)
        await ending.get("/end/session/", cookie=other)
        assert await is_logged_out(last)
        await a.get(f"/gates/{name}/")
        assert await visiting
        assert await is_open(staying)


async def visit(server: Server, path: str, cookie: str) -> bool:
    """Connect, and stay until the server closes; whether it is with a logout."""
    async with server.client(path, cookie=cookie) as client:
        return await is_logged_out(client)


@pytest.mark.parametrize(("kind", "left"), [("room", {4401, ""}), ("member-room", {4401})])
async def test_of_many_connects_during_a_logout_none_stays_logged_in(pair, kind, left):
    path = f"/{kind}/{new_name()}/"
    cookie = await pair[0].get_cookie(f"/log-in/?name={new_name()}")
    some = asyncio.Semaphore(0)

    async def connect(server: Server) -> Client:
        client = await stack.enter_async_context(server.client(path, cookie=cookie))
        some.release()
        return client

    async with AsyncExitStack() as stack:
        coming = [asyncio.create_task(connect(server)) for _ in range(40) for server in pair]
        for _ in range(20):
            await some.acquire()
        await pair[1].get("/log-out/", cookie=cookie)
        here = await asyncio.gather(*coming)

        async def standings() -> set[Any]:
            return set(await asyncio.gather(*map(standing, here)))

        assert 4401 in await eventually(standings, left.issuperset)
        key = cookie.partition("=")[2]
        await eventually(lambda: rows_at(pair[0], session_key=key), lambda found: not found)


async def standing(client: Client) -> Any:
    """The name of the user that the client is, or the code with which it was closed."""
    with suppress(ConnectionClosed):
        await client.send({"type": "WHO"})
        while (frame := await client.receive())["type"] != "WHO":
            pass
        return frame["data"]["user"]
    return client.connection.close_code


# Processes that die, and processes that sleep


@pytest.fixture(
    params=[("sqlite", "pubsub"), ("postgresql", "core"), ("sqlite", "redis")], ids=" and ".join
)
def short_lived(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two servers whose leases are short."""
    database, carrier = request.param
    with (
        site_of(tmp_path, database=database, carrier=carrier, lease=LEASE) as site,
        site.pair() as pair,
    ):
        yield pair


async def test_the_rows_of_a_killed_process_are_gone_within_two_leases(short_lived):
    a, b = short_lived
    async with clients([a], "/room/a/") as living, clients([b] * 3, "/room/b/"):
        assert len(await rows_at(a, online=True)) == 4
        b.signal(signal.SIGKILL)
        killed = time.monotonic()
        await eventually(lambda: rows_at(a), lambda found: found.keys() == living.keys())
        assert time.monotonic() - killed < 2 * LEASE
        assert (await rows_at(a, online=True)).keys() == living.keys()


async def test_a_process_that_slept_is_back_with_its_rows(short_lived):
    a, b = short_lived
    cookie = await a.get_cookie(f"/log-in/?name={new_name()}")
    async with (
        clients([a], "/room/a/") as awake,
        clients([b] * 2, "/room/b/") as asleep,
        clients([b], "/room/b/", cookie=cookie) as ending,
    ):
        b.signal(signal.SIGSTOP)
        await eventually(lambda: rows_at(a), lambda found: found.keys() == awake.keys())
        await a.get("/log-out/", cookie=cookie)
        b.signal(signal.SIGCONT)
        for client in ending.values():
            assert await is_logged_out(client)
        everyone = awake | asleep
        back = await eventually(
            lambda: rows_at(a, online=True), lambda found: found.keys() == everyone.keys()
        )
        assert len({row["process"] for row in back.values()}) == 2
        steps = [rows(everyone, "send_json", 1), rows(everyone, "send_json", END)]
        await a.post("/send/", steps)
        for client in everyone.values():
            assert await frames_until_end(client) == [1]
        b.mark()  # a layer that waited in vain meanwhile is logged, and listened to again


# A Redis that is killed


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    redis = OwnRedis()
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture(params=KINDS)
def alone(
    request: pytest.FixtureRequest, tmp_path: Path, own_redis: OwnRedis
) -> Iterator[dict[str, Server]]:
    """Two servers, by their names, with a Redis that no others use."""
    with (
        site_of(tmp_path, carrier=request.param, redis_url=own_redis.address) as site,
        site.pair() as pair,
    ):
        yield dict(zip("ab", pair, strict=True))


class Talk:
    """A client at each of two servers, all of whom hear the numbers that each sends."""

    def __init__(self) -> None:
        self.club = new_name()
        self.heard: dict[str, list[int]] = {pair: [] for pair in ("aa", "ab", "ba", "bb")}
        """By who heard them and who sent them."""

    async def speak(self, client: Client, name: str) -> None:
        for number in count():
            step = group(self.club, "send_json", [name, number])
            await client.send({"type": "SEND_ASYNC", "steps": [step]})
            await asyncio.sleep(0.01)

    async def listen(self, client: Client, name: str) -> None:
        while True:
            sender, number = await client.receive()
            self.heard[name + sender].append(number)

    def last(self) -> list[int]:
        """The last number that each heard of the other."""
        return [self.heard[pair][-1] for pair in ("ab", "ba")]

    def lost(self) -> list[int]:
        """How many numbers each did not hear, of those that the other's own client heard."""
        return [len(self.heard[b + b]) - len(self.heard[a + b]) for a, b in ("ab", "ba")]


async def test_a_redis_that_is_killed_under_load_costs_what_is_counted_and_silences_nobody(
    alone, own_redis
):
    talk = Talk()
    async with clients(alone.values(), new_room()) as here:
        speaking, listening = [], []
        for client in here.values():
            await client.ask("ENTER", group=talk.club)
        for name, client in zip(alone, here.values(), strict=True):
            speaking.append(asyncio.create_task(talk.speak(client, name)))
            listening.append(asyncio.create_task(talk.listen(client, name)))
        await until(lambda: min(map(len, talk.heard.values())) > 20, PATIENCE)
        own_redis.kill()
        await asyncio.sleep(1)
        own_redis.start()
        sent = [talk.heard[own][-1] for own in ("bb", "aa")]
        await until(lambda: all(map(int.__gt__, talk.last(), sent)), 5)
        await end(speaking)

        async def losses() -> tuple[list[int], list[int]]:
            """What was lost, and what the logs say of it."""
            return talk.lost(), [missed_in(server.log) for server in alone.values()]

        await eventually(losses, lambda found: found[0] == found[1] and min(found[0]) > 0)
        await end(listening)
    for server in alone.values():
        server.signal(signal.SIGTERM)
        await eventually(server.has_ended)
        server.mark()  # that Redis was away has been logged


def missed_in(log: str) -> int:
    """How many broadcasts of others did not come, by the last line that says so."""
    found = re.findall(r"did not come here \((\d+) so far\)", log)
    return int(found[-1]) if found else 0


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# Crowds


@pytest.fixture
def on_postgresql(tmp_path: Path) -> Iterator[Server]:
    with site_of(tmp_path, database="postgresql") as site, site.serving("crowded") as server:
        yield server


async def test_a_hundred_clients_at_once_among_them_odd_ones(on_postgresql):
    server = on_postgresql
    assert (await server.get_json("/rows/"))["database"] == "postgresql"
    cookies = ["", *[await server.get_cookie(f"/log-in/?name={new_name()}") for _ in range(3)]]
    long, odd, ended = f"/room/{'x' * 300}/", "/room/a%00b/", "/room/a/?ended"
    ordinary = [("/room/a/", cookies[number % 3]) for number in range(97)]
    visits = [*ordinary, (long, cookies[0]), (odd, cookies[1]), (ended, cookies[3])]
    async with AsyncExitStack() as stack:
        here = await asyncio.gather(
            *(
                stack.enter_async_context(server.client(path, cookie=cookie))
                for path, cookie in visits
            )
        )
        assert await is_logged_out(here.pop())
        ids = [(await client.ask("WHO"))["data"]["id"] for client in here]
        found = await rows_at(server, online=True)
        assert found.keys() == set(ids)
        assert found[ids[-2]]["path"] == long[:255]
        assert found[ids[-1]]["path"] == "/room/a\N{REPLACEMENT CHARACTER}b/"
        await server.post("/send/", [rows(ids, "send_json", END)])
        for client in here:
            assert await frames_until_end(client) == []
    await eventually(lambda: rows_at(server), lambda found: not found)


@pytest.mark.parametrize("type", ["ECHO", "ECHO_ASYNC"])
async def test_a_message_costs_no_query(pair, type):
    a, _ = pair
    name = new_name()
    cookie = await a.get_cookie("/visit/", cookie=await a.get_cookie(f"/log-in/?name={name}"))
    async with a.client(new_room(), cookie=cookie) as client:
        before = await statements_of(a)
        assert any("INSERT" in sql and "sockets_socket" in sql for sql in before)
        for number in range(100):
            assert (await client.ask(type, text=f"{number}"))["data"] == [f"{number}", name, 1]
        # The lease is renewed meanwhile, and sessions are looked at.
        assert len(await statements_of(a)) - len(before) < 50


async def statements_of(server: Server) -> list[str]:
    """The SQL of this server."""
    return (await server.get_json("/statements/"))["statements"]
