"""dcrf-client in Node, against servers with routes that are written by hand."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .node import dcrf_client, find_node
from .servers import Server, free_port, serving

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.live_project.settings"}
APPLICATION = "tests.live_project.asgi:application"
EMMA = {"id": 1, "title": "Emma", "pages": 474}
OPEN = {"event": "open"}


@pytest.fixture(scope="module", autouse=True)
def node() -> None:
    find_node()


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def serve(kind, tmp_path_factory) -> Any:
    folder: Path = tmp_path_factory.mktemp("dcrf")

    def serve(port: int | None = None) -> Any:
        log = folder / f"{kind}-{port}.log"
        database = str(folder / "live.sqlite3")
        return serving(kind, APPLICATION, log, port=port, **SETTINGS, LIVE_DATABASE=database)

    return serve


@pytest.fixture(scope="module")
def server(serve) -> Iterator[Server]:
    with serve() as server:
        yield server
        assert all("ZeroDivisionError" in line or "Traceback" in line for line in server.faults())


@pytest.fixture(params=["streams", "bare"])
async def client(request, server):
    url = f"ws://127.0.0.1:{server.port}"
    if request.param == "streams":
        opened = dcrf_client(f"{url}/library/")
    else:
        opened = dcrf_client(f"{url}/shelf/", "books")
    async with opened as client:
        assert await client.event() == OPEN
        yield client


async def create(client, **fields):
    return await client.call("create", "books", {"title": "Persuasion", **fields})


async def test_lists_creates_retrieves_updates_patches_and_deletes(client):
    assert EMMA in await client.call("list", "books")
    book = await create(client, pages=249)
    pk = book["id"]
    assert book == {"id": pk, "title": "Persuasion", "pages": 249}
    assert await client.call("retrieve", "books", pk) == book
    changed = await client.call("update", "books", pk, {"title": "Lady Susan", "pages": 80})
    assert changed == {"id": pk, "title": "Lady Susan", "pages": 80}
    assert (await client.call("patch", "books", pk, {"pages": 81}))["pages"] == 81
    assert await client.call("delete", "books", pk) is None
    assert (await client.refusal("retrieve", "books", pk))["errors"] == ["Not found"]


async def test_a_request_that_is_too_large_is_refused_and_not_waited_for(client):
    refusal = await client.refusal("create", "books", {"title": "x" * 100_000})
    assert refusal["response_status"] == 413
    assert EMMA in await client.call("list", "books")


async def test_requests_of_its_own(client):
    request = {"action": "list", "limit": 1}
    assert len(await client.call("request", "books", request)) == 1
    for request_id in ("own", 7, {"a": [1]}):
        assert len(await client.call("request", "books", request, request_id)) == 1


async def test_refusals_reject_with_the_payload(client):
    assert await client.refusal("create", "books", {"pages": "x"}, "r") == {
        "errors": [
            {
                "title": ["This field is required."],
                "pages": ["Expected `int`, got `str`"],
            }
        ],
        "data": None,
        "action": "create",
        "response_status": 400,
        "request_id": "r",
    }
    for request, status, errors in (
        ({"action": "retrieve", "pk": 10**6}, 404, ["Not found"]),
        ({"action": "retrieve"}, 400, [{"pk": ["This field is required."]}]),
        ({"action": "explode"}, 405, ['Method "explode" not allowed.']),
        ({}, 405, ["Unable to find action in message body."]),
        ({"action": "fail"}, 500, ["The server failed."]),
    ):
        refusal = await client.refusal("request", "books", request)
        assert (refusal["response_status"], refusal["errors"]) == (status, errors)
    assert EMMA in await client.call("list", "books")


async def test_a_subscription_brings_changes_until_it_is_cancelled(client):
    pk = (await create(client))["id"]
    assert await client.call("subscribe", "books", pk, "s") is None
    await client.call("patch", "books", pk, {"pages": 300})
    assert (await client.event())["data"]["pages"] == 300
    await client.call("cancel", "s")
    await client.call("patch", "books", pk, {"pages": 301})
    await client.call("subscribe", "books", pk, "t")
    await client.call("delete", "books", pk)
    assert await client.event() == {"event": "delete", "data": {"id": pk}}


async def test_a_subscription_to_what_is_not_there_is_refused(client):
    refusal = await client.refusal("subscribe", "books", 10**6, "s")
    assert (refusal["response_status"], refusal["request_id"]) == (404, "s")


async def test_streams_are_apart_on_one_connection(server):
    async with dcrf_client(f"ws://127.0.0.1:{server.port}/library/") as client:
        assert await client.event() == OPEN
        pk = (await create(client))["id"]
        for stream in ("books", "archive"):
            await client.call("subscribe", stream, pk, f"in {stream}")
        asked = [
            client.start("request", name, {"action": "list"}, 1) for name in ("books", "archive")
        ]
        assert len(await asyncio.gather(*asked)) == 2
        assert (await client.refusal("list", "films"))["errors"] == ["Unknown stream: 'films'."]
        assert (await client.refusal("request", "books", {"action": "fail"}))[
            "response_status"
        ] == 500
        await client.call("patch", "archive", pk, {"pages": 1})
        events = [await client.event() for _ in range(2)]
        assert [event["data"]["pages"] for event in events] == [1, 1]


async def test_requests_wait_for_the_connection(serve):
    """What is asked before there is a server is asked, in its order, when there is one."""
    port = free_port()
    async with dcrf_client(f"ws://127.0.0.1:{port}/library/") as client:
        asked = [
            client.start("create", "books", {"title": "Sanditon"}),
            client.start("list", "books"),
        ]
        assert (await client.event())["event"] == "close"
        with serve(port):
            book, books = await asyncio.wait_for(asyncio.gather(*asked), 30)
            assert books == [EMMA, book]


async def test_what_has_waited_may_come_all_at_once(serve):
    """The client knows no 429 and asks nothing twice: a request that is refused is lost."""
    port = free_port()
    async with dcrf_client(f"ws://127.0.0.1:{port}/library/") as client:
        rest = {"action": "rest", "seconds": 0.005}
        asked = [client.start("request", "books", rest) for _ in range(200)]
        assert (await client.event())["event"] == "close"
        with serve(port):
            assert await asyncio.wait_for(asyncio.gather(*asked), 30) == 200 * ["rested"]


async def test_a_subscription_outlives_closed_connections_and_servers(serve):
    port = free_port()
    url = f"ws://127.0.0.1:{port}/library/"
    with serve(port) as server:
        async with dcrf_client(url) as client:
            assert (await client.event())["event"] in ("open", "close")
            await client.call("subscribe", "books", 1, "s")
            dropped = client.start("request", "books", {"action": "drop"})
            assert await until(client, "close") == {"event": "close", "code": 4500}
            await until(client, "open")
            assert not dropped.done()
            await client.call("patch", "books", 1, {"pages": 1})
            assert (await client.event())["data"]["pages"] == 1

            server.signal(signal.SIGKILL)
            await until(client, "close")
            waiting = client.start("patch", "books", 1, {"pages": 2})
            with serve(port):
                assert (await asyncio.wait_for(waiting, 30))["pages"] == 2
                assert (await until(client, "update"))["data"]["pages"] == 2


async def until(client, event):
    """The next event of this name."""
    while (told := await client.event())["event"] != event:
        pass
    return told


async def test_a_client_that_closes_comes_not_back(server):
    async with dcrf_client(f"ws://127.0.0.1:{server.port}/library/") as client:
        assert await client.event() == OPEN
        await client.call("subscribe", "books", 1, "s")
        await client.call("close")
        assert await client.event() == {"event": "close", "code": 1000}
    async with dcrf_client(f"ws://127.0.0.1:{server.port}/library/") as other:
        await other.call("patch", "books", 1, {"pages": 474})


async def test_a_later_client_ends_its_subscriptions_and_waits_for_the_answers(server):
    """Its 1.1 sends each `unsubscribe_instance` with the id and stream of the subscription."""
    async with server.client("/library/") as client:

        async def ask(action, pk):
            payload = {"action": action, "request_id": "s", "pk": pk}
            await client.send({"stream": "books", "payload": payload})
            answer = await client.receive()
            assert (answer["stream"], answer["payload"]["request_id"]) == ("books", "s")
            return answer["payload"]["response_status"]

        for _ in range(2):
            assert await ask("subscribe_instance", 1) == 201
        assert await ask("unsubscribe_instance", 1) == 204
        assert await ask("unsubscribe_instance", 10**6) == 204
