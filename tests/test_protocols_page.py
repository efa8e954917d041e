"""docs/protocols.md: its exchanges are what happens, and its JSON-RPC is the specification's."""

import json
import re

import pytest
from django.core.exceptions import PermissionDenied

from sockets import RoutedSocketHandler, SocketRouter
from sockets.compat.observable import SocketRouterConsumer
from sockets.compat.original import OriginalSocketHandler
from sockets.compat.replykey import Consumer
from sockets.protocols.base import Protocol

from .clients import client_of
from .pages import package_of
from .servers import ROOT

PAGE = (ROOT / "docs" / "protocols.md").read_text()
SOURCES = {
    block.partition("\n")[0][2:]: block
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
SECTIONS = re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
EXCHANGES = {
    section.partition("\n")[0]: exchange[1]
    for section in SECTIONS
    if (exchange := re.search(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
}
IMPORTS = dict(re.findall(r"^\| (\w+) \|.*\| `([\w.]+)` \|$", PAGE, re.MULTILINE))


@pytest.fixture
def bar(tmp_path, monkeypatch):
    """The page's package."""
    with package_of(SOURCES, tmp_path, monkeypatch) as modules:
        yield modules


def protocol_of(bar, heading):
    """An instance of the class that a section is about."""
    if heading == "Writing one":
        return bar("protocols").JsonRpc()
    module, _, name = IMPORTS[heading.lower()].rpartition(".")
    return getattr(pytest.importorskip(module), name)()


@pytest.mark.parametrize("heading", EXCHANGES)
async def test_the_shown_exchange_is_what_happens(bar, heading):
    class Handler(bar("handlers").Bar):
        protocols = (protocol_of(bar, heading),)

    async with client_of(Handler) as client:
        for line in EXCHANGES[heading].splitlines():
            shown = json.loads(line[2:])
            if line[0] == ">":
                await client.send_json_to(shown)
                continue
            frame = await client.receive_json_from()
            if "TIMESTAMP" in shown:
                frame["TIMESTAMP"] = shown["TIMESTAMP"]
            assert frame == shown
        assert await client.receive_nothing()


def test_every_protocol_has_its_exchange():
    told = {*IMPORTS} - {"MessagePack"}  # which has the objects of the native one
    assert {heading.lower() for heading in EXCHANGES} == told | {"writing one"}


async def test_the_subprotocol_decides(bar):
    handler = bar("views").Counter.socket.Handler
    async with client_of(handler, subprotocols=["jsonrpc"]) as client:
        answer = await client.ask({"jsonrpc": "2.0", "method": "pour", "id": 1})
        assert answer["error"]["code"] == -32602
    async with client_of(handler) as client:
        assert (await client.ask({"type": "pour", "ref": 1}))["type"] == "ERROR"


def test_so_many_messages_wait():
    assert "lets 512 messages wait where the native one lets 64" in " ".join(PAGE.split())
    for handler in (OriginalSocketHandler, SocketRouterConsumer, Consumer):
        assert handler.max_waiting == 512
    assert SocketRouter().Handler.max_waiting == 64


def test_every_method_of_a_protocol_is_listed():
    rows = PAGE.partition("| method or attribute |")[2].partition("\n\n")[0].splitlines()[2:]
    listed = {name for row in rows for name in re.findall(r"`(\w+)", row.split(" | ")[0])}
    assert {name for name in vars(Protocol) if not name.startswith("_")} <= listed


# JSON-RPC 2.0, by its specification


@pytest.fixture
def calculator(bar):
    class Calculator(RoutedSocketHandler):
        protocols = (bar("protocols").JsonRpc(),)
        routes = (
            ("subtract", "on_subtract"),
            ("sum", "on_sum"),
            ("fail", "on_fail"),
            ("refuse", "on_refuse"),
            ("ask", "on_ask"),
            ("count", "on_count"),
            ("say", "on_say"),
            ("nothing", "on_nothing"),
        )

        async def on_subtract(self, *, minuend: int, subtrahend: int):
            return minuend - subtrahend

        async def on_sum(self, numbers: list[int]):
            return sum(numbers)

        async def on_fail(self):
            raise ValueError("Out of chips.")

        async def on_refuse(self):
            raise PermissionDenied("Not you.")

        async def on_ask(self, content):
            return await self.call("confirm", content)

        async def on_count(self):
            yield 1
            yield 2

        async def on_say(self, content):
            self.send_json(content)

        async def on_nothing(self):
            pass

    return Calculator


def request(method, params=None, **id):
    return {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {}), **id}


def code_of(answer):
    assert answer.keys() == {"jsonrpc", "error", "id"}
    assert type(answer["error"]["message"]) is str
    return answer["error"]["code"]


async def answers(client):
    """Whether the connection goes on, with nothing else on its way."""
    answer = await client.ask(request("nothing", id="on"))
    return answer == {"jsonrpc": "2.0", "result": None, "id": "on"}


async def test_parameters_have_names_or_an_order(calculator):
    async with client_of(calculator) as client:
        by_name = {"minuend": 42, "subtrahend": 23}
        assert (await client.ask(request("subtract", by_name, id=1)))["result"] == 19
        assert (await client.ask(request("sum", [1, 2, 4], id=2)))["result"] == 7
        assert code_of(await client.ask(request("subtract", [42, 23], id=3))) == -32602


@pytest.mark.parametrize("id", ["a", "", "1", "s:1", 0, -5, 1, 1.5, 10**30, None])
async def test_an_id_comes_back_as_it_was(calculator, id):
    async with client_of(calculator) as client:
        answer = await client.ask(request("sum", [1], id=id))
        assert answer == {"jsonrpc": "2.0", "result": 1, "id": id}
        assert type(answer["id"]) is type(id)
        refused = await client.ask(request("refuse", id=id))
        assert (refused["id"], type(refused["id"])) == (id, type(id))


@pytest.mark.parametrize("method", ["sum", "nothing", "fail", "refuse", "mix", "subtract"])
async def test_a_notification_is_never_answered(calculator, method):
    async with client_of(calculator) as client:
        await client.send_json_to(request(method, [1]))
        assert await answers(client)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"jsonrpc": "2.0", "method": "sum, "params": "bar", "baz]', -32700),
        (" ", -32700),
        ("no JSON", -32700),
        ('{"a":' * 10_000, -32700),
        ('[{"jsonrpc": "2.0", "method": "sum", "id": 1}, {"jsonrpc": "2.0", "method"]', -32700),
        ('{"jsonrpc": "2.0", "method": "\ud800"}', -32700),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', -32600),
        ('{"jsonrpc": "2.0", "method": "sum", "params": 5, "id": 1}', -32600),
        ('{"jsonrpc": "1.0", "method": "sum", "id": 1}', -32600),
        ('{"method": "sum", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "method": "sum", "id": true}', -32600),
        ('{"jsonrpc": "2.0", "method": "sum", "id": [1]}', -32600),
        ("5", -32600),
        ("[]", -32600),
        ('[{"jsonrpc": "2.0", "method": "sum", "params": [1], "id": 1}]', -32600),
    ],
)
async def test_a_frame_without_a_request_has_no_id_in_its_error(calculator, frame, code):
    async with client_of(calculator) as client:
        await client.send_to(frame)
        error = await client.receive_json_from()
        assert (code_of(error), error["id"]) == (code, None)
        assert await answers(client)


async def test_what_is_built_in_is_no_method(calculator):
    async with client_of(calculator) as client:
        for method in ("HELLO", "JOIN", "PING", "TIME_SYNC"):
            assert code_of(await client.ask(request(method, id=1))) == -32601


@pytest.mark.parametrize(
    ("method", "code"),
    [("mix", -32601), ("subtract", -32602), ("sum", -32602), ("fail", -32603), ("refuse", 403)],
)
async def test_an_error_has_the_code_of_the_specification_or_its_status(calculator, method, code):
    async with client_of(calculator) as client:
        error = await client.ask(request(method, id=7))
        assert (code_of(error), error["id"]) == (code, 7)
        assert "chips" not in error["error"]["message"]
        assert await answers(client)


async def test_what_a_client_is_asked_it_answers(calculator):
    async with client_of(calculator) as client:
        for outcome, answer in (
            ({"result": "yes"}, {"result": "yes"}),
            ({"result": None}, {"result": None}),
            ({"error": {"code": 5, "message": "no"}}, {"error": 500}),
        ):
            call = await client.ask(request("ask", {"sure": True}, id=1))
            assert (call["method"], call["params"]) == ("confirm", {"sure": True})
            await client.send_json_to({"jsonrpc": "2.0", "id": call["id"], **outcome})
            told = await client.receive_json_from()
            if "error" in answer:
                assert code_of(told) == answer["error"]
            else:
                assert told == {"jsonrpc": "2.0", "id": 1, **answer}


async def test_an_answer_to_no_question_is_not_missed(calculator):
    async with client_of(calculator) as client:
        for outcome in ({"id": 5, "result": 1}, {"result": 1}, {}):
            await client.send_json_to({"jsonrpc": "2.0", **outcome})
        assert await answers(client)


async def test_parts_and_events_are_notifications(calculator):
    async with client_of(calculator) as client:
        part = await client.ask(request("count", id="c"))
        assert part == request("part", {"id": "c", "data": 1})
        assert await client.receive_json_from() == request("part", {"id": "c", "data": 2})
        end = {"jsonrpc": "2.0", "result": None, "id": "c"}
        assert await client.receive_json_from() == end
        said = await client.ask(request("say", ["hi"]))
        assert said == request("event", {"content": ["hi"]})


def test_it_is_short():
    lines = SOURCES["bar/protocols.py"].splitlines()[1:]
    assert sum(bool(line) and "import" not in line for line in lines) < 40


def test_its_links_lead_somewhere():
    for file, _, heading in re.findall(r"\]\((?!https?:)([^)#]+)(#([^)]+))?\)", PAGE):
        text = (ROOT / "docs" / file).read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert not heading or heading in [found.lower().replace(" ", "-") for found in headings]
