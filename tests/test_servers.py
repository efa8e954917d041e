"""What only a real server can show: bytes on TCP, clients that vanish, clients that do not read."""

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from .servers import Client, Server, eventually, run, serving, serving_live

VIEWS = """
import re
import time
from django.shortcuts import render
from django.views import View
from sockets import SocketRouter
from sockets.models import Socket

class MyPage(View):
    socket = SocketRouter()

    def get(self, request):
        return render(request, "my_page.html")

    @socket.connect
    def on_open(socket):
        socket.send_json({"connected": True})

    @socket.route("PING")
    def on_ping(socket, content):
        socket.send_json({"type": "PONG", "ts": time.time()})

    @socket.route(re.compile(r"GAME_ACTION_(?P<move>.+)"))
    async def on_game_action(socket, content, move):
        await socket.send_json({"received_action": content["action"], "move": move})

    @socket.default_route
    def default_route(socket, content=None):
        socket.send_json({"type": "ERROR", "details": f"Got unknown message: {content}"})

    @socket.disconnect
    def on_disconnect(socket, message):
        text = f"User {socket.user.username} left chat."
        Socket.objects.all().send_json({"type": "CHAT", "text": text})
"""

URLS = """
from django.contrib import admin
from django.urls import path
from .views import MyPage

urlpatterns = [path("admin/", admin.site.urls), path("mypage/", MyPage.as_view())]
"""

CALM = 0.05
"""Seconds that an undisturbed answer takes at most, half of what a disturbed one would."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project with the view of the first example, set up as the docs say."""
    site = tmp_path_factory.mktemp("site")
    run("-m", "django", "startproject", "mysite", str(site))
    edit(
        site / "mysite" / "settings.py",
        ("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "daphne",\n    "sockets",'),
        ("'DIRS': []", "'DIRS': [BASE_DIR]"),
        ("WSGI_APPLICATION", 'ASGI_APPLICATION = "mysite.asgi.application"\nWSGI_APPLICATION'),
    )
    edit(site / "mysite" / "asgi.py", ("from django.core.asgi", "from sockets.asgi"))
    (site / "mysite" / "views.py").write_text(VIEWS)
    (site / "mysite" / "urls.py").write_text(URLS)
    (site / "my_page.html").write_text("<h1>My page</h1>")
    run("manage.py", "migrate", cwd=site)
    return site


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text, f"{file.name} has no {old!r}"
        text = text.replace(old, new, 1)
    file.write_text(text)


@pytest.fixture(scope="module", params=["runserver", "daphne", "uvicorn"])
def site_server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    kind, log = request.param, site / f"{request.param}.log"
    with serving(kind, "mysite.asgi:application", log, cwd=site, manage=("manage.py",)) as server:
        yield server
        assert not server.faults()


@pytest.fixture(scope="module", params=["runserver", "uvicorn"])
def bench_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving_live(request.param, tmp_path_factory.mktemp("live")) as server:
        yield server
        assert not server.faults()


@pytest.fixture
def my_site(site_server: Server) -> Iterator[Server]:
    yield from watched(site_server)


@pytest.fixture
def server(bench_server: Server) -> Iterator[Server]:
    yield from watched(bench_server)


def watched(server: Server) -> Iterator[Server]:
    """The server for one test, which shows its log on failure and must leave no fault in it."""
    server.mark()
    yield server
    print(server.log)
    assert not server.faults()
    server.mark()


# The first example, in a fresh project


async def test_the_first_example_works_as_documented(my_site):
    async with my_site.client("/mypage/") as client:
        assert await client.receive() == {"connected": True}
        pong = await client.tell("PING")
        assert pong["type"] == "PONG" and abs(pong["ts"] - time.time()) < 5
        moved = await client.tell("GAME_ACTION_raise", action="bet")
        assert moved == {"received_action": "bet", "move": "raise"}
        unknown = await client.tell("SING")
        assert unknown == {"type": "ERROR", "details": "Got unknown message: {'type': 'SING'}"}
        async with my_site.client("/mypage/") as leaving:
            assert await leaving.receive() == {"connected": True}
        assert await client.receive() == {"type": "CHAT", "text": "User  left chat."}


async def test_the_page_is_served_at_the_same_path(my_site):
    status, _, text = await my_site.get("/mypage/")
    assert (status, text) == (200, "<h1>My page</h1>")


@pytest.mark.parametrize("path", ["/nowhere/", "/mypage", "/admin/login/"])
async def test_a_path_without_a_socket_is_refused(my_site, path):
    assert 400 <= await refused(my_site, path) < 500


async def test_a_foreign_origin_is_refused(my_site):
    assert await refused(my_site, "/mypage/", origin="http://evil.example") == 403


async def refused(server: Server, path: str, **options: Any) -> int:
    """The HTTP status with which the server refuses this handshake."""
    with pytest.raises(InvalidStatus) as refusal:
        async with server.client(path, **options):
            pass
    return refusal.value.response.status_code


# Bad input

BAD_FRAMES = {
    "bad JSON": ('{"type": "ECHO"', 400),
    "a list": ('["ECHO"]', 400),
    "a number": ("42", 400),
    "null": ("null", 400),
    "a JSON string": ('"ECHO"', 400),
    "plain text": ("hello", 400),
    "no type": ('{"text": "hello"}', 400),
    "a type that is a number": ('{"type": 7}', 400),
    "a type that is null": ('{"type": null}', 400),
    "a type that is a list": ('{"type": ["ECHO"]}', 400),
    "an unknown key": ('{"type": "NO_SUCH_KEY"}', 404),
    "a key of 3,000 characters": (json.dumps({"type": "x" * 3000}), 404),
    "a key that Python knows": ('{"type": "__class__"}', 404),
    "a lone surrogate as key": (r'{"type": "\ud800"}', 400),
    "a lone surrogate as value": (r'{"type": "ECHO", "text": "\udfff"}', 400),
    "a number without end": ('{"type": "ECHO", "text": 1e400}', 400),
    "a binary frame": (b'{"type": "ECHO", "text": "hello"}', 400),
    "an empty binary frame": (b"", 400),
    "an empty text frame": ("", 400),
    "a frame over the limit": (json.dumps({"type": "ECHO", "text": "x" * 65536}), 413),
}


async def test_every_bad_frame_is_answered_by_one_error_and_the_connection_goes_on(server):
    async with server.client("/bench/") as client:
        for name, (frame, status) in BAD_FRAMES.items():
            await client.send(frame)
            await check_error(client, name, status)


async def test_the_error_for_a_frame_over_the_limit_names_the_limit(server):
    async with server.client("/bench/") as client:
        error = await client.tell("ECHO", text="x" * 65536)
        assert "65536" in error["details"]


async def test_a_frame_nested_100_000_deep_is_an_error(server):
    async with server.client("/roomy/") as client:
        for frame in ["[" * 100_000, '{"type":' * 100_000, '{"type": "ECHO", "a":' + "[" * 100_000]:
            await client.send(frame)
            await check_error(client, frame[:21], 400)


async def check_error(client: Client, name: str, status: int) -> None:
    error = await client.receive()
    assert (error["type"], error["status"]) == ("ERROR", status), f"{name}: {error}"
    assert len(json.dumps(error)) < 1000, f"{name}: the error repeats what it was sent"
    answer = await client.ask("ECHO", text=name)
    assert answer["data"] == name


async def test_too_many_bad_frames_close_the_connection(server):
    async with server.client("/strict/") as client:
        for _ in range(3):
            await client.send("[]")
        assert [(await client.receive())["status"] for _ in range(3)] == [400] * 3
        assert await client.close_code() == 4400


async def test_a_handler_that_fails_is_answered_and_logged(server):
    async with server.client("/bench/") as client:
        error = await client.ask("FAIL")
        assert (error["type"], error["status"]) == ("ERROR", 500)
        assert "foresaw" not in json.dumps(error)
        assert (await client.ask("ECHO", text="hi"))["data"] == "hi"
    assert "RuntimeError: a fault that nobody foresaw" in server.log
    server.mark()


# Clients that leave


@pytest.mark.parametrize("cut", [False, True], ids=["closed", "cut"])
async def test_a_client_that_leaves_stops_its_handler(server, cut):
    before, token = await load_at_rest(server), new_token()
    async with server.client("/bench/") as client:
        assert await client.tell("WAIT", token=token) == {"type": "WAITING"}
        if cut:
            client.cut()
    await has_ended(server, token)
    await load_is_back(server, before)


@pytest.mark.parametrize("cut", [False, True], ids=["closed", "cut"])
async def test_a_client_that_leaves_stops_its_stream(server, cut):
    before, token = await load_at_rest(server), new_token()
    async with server.client("/bench/") as client:
        part = await client.tell("COUNT", token=token, to=10**9)
        assert part == {"type": "COUNT", "status": 206, "data": 0}
        if cut:
            client.cut()
    await has_ended(server, token)
    await load_is_back(server, before)


async def test_a_client_that_leaves_fails_the_call_it_was_asked(server):
    before = await load_at_rest(server)
    async with server.client("/bench/") as client:
        assert (await client.tell("ASK"))["type"] == "QUESTION"
        client.cut()
    await load_is_back(server, before)


async def test_a_client_that_leaves_before_accept_stops_the_connect_hook(server):
    before, token = await load_at_rest(server), new_token()
    with pytest.raises(TimeoutError):
        async with server.client(f"/slow/?{token}", open_timeout=0.3):
            pass
    await has_ended(server, token)
    await load_is_back(server, before)


async def test_a_thousand_visits_leave_nothing_behind(server):
    at_rest = await load_at_rest(server)
    # While one client stays, nothing is freed only because the last one went.
    async with server.client("/bench/") as staying:
        await staying.ask("ECHO", text="hi")
        before = await server.get_json("/load/")
        for first in range(0, 1000, 50):
            async with asyncio.TaskGroup() as wave:
                for number in range(first, first + 50):
                    wave.create_task(visit(server, number))
        # Threads that a crowd has needed stay as long as anyone does.
        await load_is_back(server, before | {"threads": 16})
        assert (await staying.ask("ECHO", text="still"))["data"] == "still"
    await load_is_back(server, at_rest)


async def visit(server: Server, number: int) -> None:
    """Say one of four things; half of the visitors vanish, the others close."""
    async with server.client("/bench/") as client:
        match number % 4:
            case 0:
                await client.ask("ECHO", text="hi")
            case 1:
                await client.tell("WAIT", token="one of many")
            case 2:
                await client.ask("ECHO_ASYNC", text="hi")
        if number % 8 < 4:
            client.cut()


async def load_at_rest(server: Server) -> dict[str, int]:
    """What lives in the server once nobody is connected any more."""
    return await eventually(
        lambda: server.get_json("/load/"), lambda load: not load["handlers"] and not load["hubs"]
    )


async def load_is_back(server: Server, before: dict[str, int]) -> None:
    await eventually(
        lambda: server.get_json("/load/"),
        lambda load: all(load[name] <= count for name, count in before.items()),
    )


async def has_ended(server: Server, token: str) -> None:
    """Wait until the `finally` of the handler that was given this token has run."""
    await eventually(lambda: server.get_json("/records/"), lambda now: token in now["ended"])


def new_token() -> str:
    return uuid.uuid4().hex


# Calls, cancellation, time-outs, streams


@pytest.mark.parametrize("type", ["ASK", "ASK_ASYNC"])
async def test_a_handler_asks_its_client(server, type):
    async with server.client("/bench/") as client:
        question = await client.tell(type, ref="mine")
        assert question["type"] == "QUESTION" and question["data"] == {"number": 1}
        await answer(client, question, data=["a", 1])
        assert (await client.receive())["data"] == {"answer": ["a", 1]}


@pytest.mark.parametrize("type", ["ASK", "ASK_ASYNC"])
async def test_a_client_refuses_what_it_is_asked(server, type):
    async with server.client("/bench/") as client:
        question = await client.tell(type, ref="mine")
        await answer(client, question, status=418)
        error = await client.receive()
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", 418, "mine")


async def test_connect_hooks_ask_their_client(server):
    async with server.client("/greeter/") as client:
        for type, name in [("FIRST_NAME", "Ada"), ("LAST_NAME", "Lovelace")]:
            question = await client.receive()
            assert question["type"] == type
            await answer(client, question, data=name)
        assert await client.receive() == {"type": "WELCOME", "name": "Ada Lovelace"}


async def answer(client: Client, question: Any, **fields: Any) -> None:
    await client.send({"type": question["type"], "ref": question["ref"], "status": 200, **fields})


async def test_a_client_cancels_what_runs_and_what_waits(server):
    token = new_token()
    async with server.client("/bench/") as client:
        await client.tell("WAIT", ref="runs", token=token)
        await client.send({"type": "ECHO", "ref": "waits", "text": "never"})
        for ref in ("waits", "runs"):
            error = await client.tell("CANCEL", ref=ref)
            assert (error["type"], error["status"], error["ref"]) == ("ERROR", 499, ref)
        await client.send({"type": "CANCEL", "ref": "nobody knows"})
        assert (await client.ask("ECHO", text="on"))["data"] == "on"
        await has_ended(server, token)


async def test_a_message_that_takes_too_long_is_ended(server):
    token = new_token()
    async with server.client("/bench/") as client:
        await client.tell("WAIT_BRIEFLY", ref="slow", token=token)
        error = await client.receive()
        assert (error["type"], error["status"], error["ref"]) == ("ERROR", 504, "slow")
        assert (await client.ask("ECHO", text="on"))["data"] == "on"
        await has_ended(server, token)


@pytest.mark.parametrize("type", ["COUNT", "COUNT_ASYNC"])
async def test_a_stream_is_sent_in_parts(server, type):
    async with server.client("/bench/") as client:
        await client.send({"type": type, "ref": 1, "token": new_token(), "to": 3})
        parts = [await client.receive() for _ in range(4)]
        assert [part.get("data") for part in parts] == [0, 1, 2, None]
        assert [part["status"] for part in parts] == [206, 206, 206, 200]


@pytest.mark.parametrize("type", ["COUNT", "COUNT_ASYNC"])
async def test_a_client_cancels_a_stream(server, type):
    token = new_token()
    async with server.client("/bench/") as client:
        frame = await client.tell(type, ref=1, token=token, to=10**9)
        await client.send({"type": "CANCEL", "ref": 1})
        while frame["type"] == type:
            frame = await client.receive()
        assert (frame["type"], frame["status"]) == ("ERROR", 499)
        assert (await client.ask("ECHO", text="the next frame"))["data"] == "the next frame"
        await has_ended(server, token)


# Who is let in, and how connections are closed


async def test_an_anonymous_client_is_told_to_log_in(server):
    async with server.client("/members/") as client:
        assert (await client.tell("WHO"))["type"] == "RECONNECT"
        assert await client.close_code() == 4401


async def test_a_client_is_the_user_of_its_session(server):
    _, headers, _ = await server.get("/log-in/?name=ada")
    cookie = headers["Set-Cookie"].partition(";")[0]
    for path in ("/members/", "/members-at-handshake/"):
        async with server.client(path, cookie=cookie) as client:
            assert (await client.ask("WHO"))["data"] == "ada"


@pytest.mark.parametrize("path", ["/members-at-handshake/", "/forbidden-at-handshake/"])
async def test_a_client_is_refused_at_the_handshake(server, path):
    assert await refused(server, path) == 403


async def test_a_connect_hook_forbids(server):
    async with server.client("/forbidden/") as client:
        assert await client.close_code() == 4403


async def test_a_handler_closes_with_a_code_of_its_own(server):
    async with server.client("/bench/") as client:
        await client.send({"type": "CLOSE", "code": 4321})
        assert await client.close_code() == 4321


async def test_a_code_that_the_server_refuses_becomes_1000(server):
    async with server.client("/bench/") as client:
        await client.send({"type": "CLOSE", "code": 1012})
        assert await client.close_code() == (1000 if server.is_daphne else 1012)


# Connections that leave each other alone


async def test_blocking_handlers_delay_no_other_connection(server):
    async with server.client("/bench/") as blocker, server.client("/bench/") as other:
        began = time.monotonic()
        for _ in range(40):
            await blocker.send({"type": "BLOCK"})
        assert await usual_delay(other) < CALM
        assert time.monotonic() - began < 40 * 0.1, "nothing blocked any more"


async def test_handlers_that_wait_after_a_query_hold_no_thread(server):
    async with AsyncExitStack() as stack:
        for _ in range(32):
            client = await stack.enter_async_context(server.client("/bench/"))
            assert (await client.tell("QUERY_AND_WAIT"))["type"] == "WAITING"
        other = await stack.enter_async_context(server.client("/bench/"))
        assert await usual_delay(other) < CALM


async def usual_delay(client: Client) -> float:
    """The median seconds of an echo, the slower of a `def` and an `async def` handler."""
    delays: dict[str, list[float]] = {"ECHO": [], "ECHO_ASYNC": []}
    for _ in range(20):
        for type, taken in delays.items():
            began = time.monotonic()
            await client.ask(type, text="hi")
            taken.append(time.monotonic() - began)
    return max(map(statistics.median, delays.values()))


# Clients that do not read

CHUNKS = 200
"""Of 100 kB each: more than the buffers of both ends hold."""


async def test_a_client_that_does_not_read_delays_no_other_connection(server):
    before, token = await load_at_rest(server), new_token()
    async with server.client("/bench/") as reader, server.client("/bench/") as other:
        reader.stop_reading()
        await reader.send({"type": "FLOOD", "token": token, "chunks": CHUNKS})
        assert await usual_delay(other) < CALM
        assert await chunks_sent(server, token) == CHUNKS
        reader.cut()
    await load_is_back(server, before)


@pytest.mark.parametrize("type", ["POUR", "POUR_SYNC"])
async def test_a_handler_waits_for_a_client_that_does_not_read(server, type):
    token = new_token()
    async with server.client("/bench/") as reader:
        reader.stop_reading()
        await reader.send({"type": type, "token": token, "chunks": CHUNKS})
        await has_stalled(server, token)
        reader.read_on()
        assert [(await reader.receive())["number"] for _ in range(CHUNKS)] == list(range(CHUNKS))
        await has_ended(server, token)


@pytest.mark.parametrize("type", ["POUR", "POUR_SYNC"])
async def test_a_client_that_does_not_read_and_vanishes_frees_its_handler(server, type):
    before, token = await load_at_rest(server), new_token()
    async with server.client("/bench/") as reader:
        reader.stop_reading()
        await reader.send({"type": type, "token": token, "chunks": CHUNKS})
        await has_stalled(server, token)
        reader.cut()
    await has_ended(server, token)
    await load_is_back(server, before)


@pytest.mark.parametrize("type", ["STREAM", "STREAM_SYNC"])
async def test_a_stream_of_100_mb_to_a_client_that_reads_slowly_costs_next_to_nothing(server, type):
    token, chunks, costs = new_token(), 1000, []
    async with server.client("/bench/") as reader:
        await reader.tell("HELLO")  # daphne holds back for clients that answer its questions
        before = server.memory
        await reader.send({"type": type, "ref": "big", "token": token, "chunks": chunks})
        for number in range(chunks):
            while (frame := await reader.receive())["type"] == "PING":
                await reader.send({"type": "PING"})
            assert (frame["status"], frame["data"]["number"]) == (206, number)
            await asyncio.sleep(0.002)
            if number % 50 == 0:
                costs.append(server.memory - before)
                ahead = await chunks_sent(server, token) - number
                assert ahead < chunks / 4
        assert (await reader.receive())["status"] == 200
    assert max(costs) < ALLOWED
    await has_ended(server, token)


async def has_stalled(server: Server, token: str) -> None:
    """Wait until the handler sends no more, which must be before its last chunk.

    Daphne has no way to make a handler wait: it takes all at once.
    """
    if server.is_daphne:
        await eventually(lambda: chunks_sent(server, token), lambda sent: sent == CHUNKS)
        return
    before, sent = 0, await eventually(lambda: chunks_sent(server, token))
    while before < sent:
        await asyncio.sleep(0.2)
        before, sent = sent, await chunks_sent(server, token)
    assert sent < CHUNKS


async def chunks_sent(server: Server, token: str) -> int:
    return (await server.get_json("/records/"))["sent"].get(token, 0)


# Broadcasts to clients that do not read

ROUNDS = 100
"""Of 20 broadcasts each: 200 MB."""
ALLOWED = 12 * 1024 * 1024
"""Bytes that a client may cost that reads nothing of them: twice its limit, and what a process
needs for frames of this size on their way."""


@pytest.mark.parametrize("path", ["/crowd/", "/patient-crowd/"])
async def test_a_client_that_reads_no_broadcasts_costs_little_and_delays_no_other(server, path):
    async with server.client(path) as slow, server.client(path) as other:
        await slow.tell("HELLO")
        await cast(other, 0, 20)
        slow.stop_reading()
        before = server.memory
        for number in range(ROUNDS):
            await cast(other, number * 20, 20)
        assert server.memory - before < ALLOWED
        slow.cut()
    await load_at_rest(server)


async def cast(client: Client, first: int, chunks: int) -> None:
    """Have everybody sent these broadcasts, all of which this client must get."""
    await client.send({"type": "CAST", "first": first, "chunks": chunks})
    got = [(await client.receive())["number"] for _ in range(chunks)]
    assert got == list(range(first, first + chunks))


async def test_a_client_that_reads_no_broadcasts_is_closed_as_slow(server):
    async with server.client("/crowd/") as slow, server.client("/crowd/") as other:
        await slow.tell("HELLO")
        slow.stop_reading()
        for number in range(10):
            await cast(other, number * 20, 20)
        closed = "/crowd/ 4513"
        # Daphne has taken a megabyte, and its client is asked for an answer to that.
        await eventually(lambda: server.get_json("/records/"), lambda now: closed in now["ended"])
        slow.cut()
    await load_at_rest(server)


async def test_what_a_slow_client_received_and_what_it_missed_is_all_that_was_sent(server):
    async with server.client("/patient-crowd/") as slow, server.client("/patient-crowd/") as other:
        await slow.tell("HELLO")
        slow.stop_reading()
        for number in range(20):
            await cast(other, number * 20, 20)
        slow.read_on()
        counted, missed = 0, 0
        while counted < 400:
            frame = await slow.receive()
            if frame.get("type") == "PING":
                await slow.send({"type": "PING"})
            elif frame.get("type") == "LAGGED":
                missed += frame["n"]
                counted += frame["n"]
            else:
                assert frame["number"] == counted  # what was missed, was so in its place
                counted += 1
        assert counted == 400
        assert missed > 0
        assert (await slow.ask("ECHO", text="still"))["data"] == "still"
