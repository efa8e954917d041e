"""Live connections as rows, and sending to them."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from math import inf

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction
from django.utils import timezone
from django.utils.safestring import mark_safe

from sockets import RoutedSocketHandler, SocketRouter
from sockets.hub import Hub
from sockets.models import Process, Socket
from sockets.protocols.native import Native

from .clients import client_of, frames_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closing_connections"),
]


class Tab(RoutedSocketHandler):
    async def on_now(self):
        return None

    async def on_id(self):
        return self.id

    routes = (("NOW", "on_now"), ("ID", "on_id"))


def tab(path="/", handler=Tab, **scope):
    return client_of(handler, path, **scope)


async def row_of(client):
    answer = await client.ask({"type": "ID", "ref": 1})
    return await Socket.objects.aget(pk=answer["data"])


async def until_rows(paths):
    """Wait until these are the paths of all rows."""
    async with asyncio.timeout(5):
        while sorted([row.path async for row in Socket.objects.all()]) != paths:
            await asyncio.sleep(0.01)


@pytest.fixture
def ann():
    return User.objects.create(username="ann")


@pytest.fixture
def ben():
    return User.objects.create(username="ben")


@pytest.fixture
def process():
    return Process.objects.create(expires=timezone.now() + timedelta(minutes=1))


@pytest.fixture
def row(process):
    return Socket.objects.create(process=process, path="/table/7/")


def test_rows_are_marked_in_either_colour(row):
    assert async_to_sync(Socket.objects.filter(path="/table/7/").amark_inactive)() == 1
    assert not Socket.objects.online().exists()
    assert async_to_sync(Socket.objects.all().amark_active)() == 1
    assert Socket.objects.online().get() == row
    assert Socket.objects.mark_inactive() == 1
    assert not Socket.objects.online().exists()
    assert Socket.objects.mark_active() == 1
    assert Socket.objects.mark_active() == 1
    assert Socket.objects.filter(path="/other/").mark_active() == 0


def test_what_rows_are_called(row):
    assert str(row) == "/table/7/ (anonymous)"
    assert str(row.process) == str(row.process_id)


# Who gets it


async def test_a_selection_gets_it_and_nobody_else(ann, ben):
    async with tab("/a/", user=ann) as a, tab("/b/", user=ben) as b, tab("/a/") as c:
        await Socket.objects.filter(user=ann).asend_json({"n": 1})
        await Socket.objects.filter(path="/a/").asend_json({"n": 2})
        await Socket.objects.asend_action("CHAT", text="hi")
        await Socket.objects.exclude(path="/a/").asend_str("text")
        await Socket.objects.filter(user__username="nobody").asend_json("never")
        everyone = {"type": "CHAT", "text": "hi"}
        assert await frames_of(a) == [{"n": 1}, {"n": 2}, everyone]
        assert await b.receive_json_from() == everyone
        assert await b.receive_from() == "text"
        assert await frames_of(b) == []
        assert await frames_of(c) == [{"n": 2}, everyone]


SELECTIONS = {
    "all": lambda rows: rows,
    "ordered": lambda rows: rows.order_by("-path"),
    "distinct": lambda rows: rows.distinct(),
    "with joins": lambda rows: rows.select_related("user", "process"),
    "some fields": lambda rows: rows.only("path"),
    "values": lambda rows: rows.values("path"),
    "by a relation with several rows": lambda rows: rows.filter(user__groups__name__startswith="g"),
    "a union": lambda rows: rows.filter(path="/a/").union(rows.filter(path="/b/")),
    "a union of everything": lambda rows: rows.union(rows, all=True),
    "either": lambda rows: rows.filter(path="/a/") | rows.filter(path="/b/"),
}
PARTS = {
    "a slice": lambda rows: rows.order_by("path")[:1],
    "the last of a slice": lambda rows: rows.order_by("-path")[1:5],
    "a slice of a union": lambda rows: rows.union(rows.filter(path="/b/")).order_by("path")[:1],
    "a subquery": lambda rows: rows.filter(pk__in=rows.filter(path="/a/")),
}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        *[pytest.param(select, "ab", id=name) for name, select in SELECTIONS.items()],
        *[pytest.param(select, "a", id=name) for name, select in PARTS.items()],
        pytest.param(lambda rows: rows.none(), "", id="none"),
        pytest.param(lambda rows: rows[:0], "", id="an empty slice"),
    ],
)
async def test_every_kind_of_queryset_can_be_sent_to(ann, select, expected):
    await ann.groups.aset([await Group.objects.acreate(name=f"g{n}") for n in range(2)])
    async with tab("/a/", user=ann) as a, tab("/b/", user=ann) as b:
        await select(Socket.objects.all()).asend_json(1)
        assert await frames_of(a) == ([1] if "a" in expected else [])
        assert await frames_of(b) == ([1] if "b" in expected else [])


async def test_exclude_spares_sockets_rows_and_ids(ann):
    class Speaking(Tab):
        async def on_say(self):
            await Socket.objects.asend_json("all but me", exclude=self)

        routes = (*Tab.routes, ("SAY", "on_say"))

    async with tab(handler=Speaking) as speaking, tab() as other:
        await speaking.send_json_to({"type": "SAY"})
        assert await frames_of(speaking) == []
        row = await row_of(speaking)
        for exclude in (row, row.pk, [row], {row.pk}):
            await Socket.objects.asend_action("CHAT", exclude=exclude)
            await Socket.objects.asend_str('"text"', exclude=exclude)
        rows = Socket.objects.filter(pk=row.pk)
        await sync_to_async(Socket.objects.send_json)("not to these rows", exclude=rows.all())
        await Socket.objects.asend_json("not to these rows", exclude=rows.all())
        assert await frames_of(speaking) == []
        assert len(await frames_of(other)) == 11
        with pytest.raises(TypeError, match="expected a socket, a row, an id of one or a list"):
            await Socket.objects.asend_json(1, exclude=ann)


async def test_the_rows_of_a_dead_process_do_no_harm(row):
    async with tab() as client:
        await Socket.objects.asend_json(1)
        await Socket.objects.aclose()
        assert await client.receive_json_from() == 1
        assert await client.next_close() == 1000


async def test_selections_in_many_processes_are_sent_to(process):
    expires = timezone.now() + timedelta(minutes=1)
    for _ in range(6):
        other = await Process.objects.acreate(expires=expires)
        await Socket.objects.acreate(process=other, path="/")
    async with tab() as client:
        await Socket.objects.asend_json(1)
        assert await frames_of(client) == [1]


# From where


async def test_a_handler_of_either_colour_sends_in_its_order():
    router = SocketRouter(handler=Tab)

    @router.route("SYNC")
    def on_sync(socket):
        socket.send_json(1)
        Socket.objects.all().send_json(2)
        socket.send_json(3)
        socket.row.send_json(4)
        return 5

    @router.route("ASYNC")
    async def on_async(socket):
        socket.send_json(1)
        await Socket.objects.all().asend_json(2)
        socket.send_json(3)
        await socket.row.asend_json(4)
        return 5

    async with tab(handler=router) as client, tab() as other:
        for type in ("SYNC", "ASYNC"):
            await client.send_json_to({"type": type, "ref": 1})
            frames = [await client.receive_json_from() for _ in range(5)]
            assert frames[:4] == [1, 2, 3, 4]
            assert frames[4]["data"] == 5
            assert await frames_of(other) == [2]


SYNC = [
    ("send_json", [1]),
    ("send_action", ["CHAT"]),
    ("send_str", ["text"]),
    ("close", []),
    ("cleanup_stale", []),
]
SYNC_SELECTION = [("purge_inactive", []), ("mark_active", []), ("mark_inactive", [])]


@pytest.mark.parametrize(("name", "arguments"), [*SYNC, *SYNC_SELECTION])
async def test_in_a_coroutine_a_selection_names_the_twin(name, arguments):
    with pytest.raises(SynchronousOnlyOperation, match=rf"{name}\(\) .*; await a{name}\(\)"):
        getattr(Socket.objects, name)(*arguments)
    with pytest.raises(SynchronousOnlyOperation, match=rf"await a{name}\(\)"):
        getattr(Socket.objects.filter(path="/"), name)(*arguments)


@pytest.mark.parametrize(("name", "arguments"), SYNC)
async def test_in_a_coroutine_a_row_names_the_twin(row, name, arguments):
    with pytest.raises(SynchronousOnlyOperation, match=rf"{name}\(\) .*; await a{name}\(\)"):
        getattr(row, name)(*arguments)


@pytest.mark.parametrize(("name", "arguments"), SYNC)
async def test_sends_return_none(row, name, arguments):
    for recipients in (Socket.objects, Socket.objects.all(), row):
        assert await getattr(recipients, f"a{name}")(*arguments) is None
        assert await sync_to_async(getattr(recipients, name))(*arguments) is None


# What is sent


async def test_text_goes_as_it_is():
    async with tab() as client:
        for text in ("plain", "", mark_safe("<p>safe</p>"), '{"type": 5', "é 🎲"):
            await Socket.objects.asend_str(text)
            assert await client.receive_output() == {"type": "websocket.send", "text": text}


@pytest.mark.parametrize(
    ("text", "fault"), [(b"bytes", TypeError), (None, TypeError), ("\ud800", ValueError)]
)
async def test_what_is_no_text_is_refused_and_nothing_sent(text, fault):
    async with tab() as client:
        with pytest.raises(fault):
            await Socket.objects.asend_str(text)
        assert await frames_of(client) == []


async def test_what_cannot_be_encoded_is_refused_and_nothing_sent(row):
    async with tab() as client:
        for recipients in (Socket.objects, await row_of(client), row):
            for content in (object(), {"deep": [object()]}):
                with pytest.raises(TypeError, match="expected JSON-ready content"):
                    await recipients.asend_json(content)
            with pytest.raises(ValueError):
                await recipients.asend_action("CHAT", text="\udfff")
            with pytest.raises(ValueError, match="expected fields without 'ref'"):
                await recipients.asend_action("CHAT", ref=1)
            with pytest.raises(ValueError, match="expected a close code"):
                await recipients.aclose(5000)
        assert await frames_of(client) == []


# Closing


async def test_closing_a_selection_deletes_its_rows(ann):
    async with tab("/a/", user=ann) as a, tab("/b/") as b:
        await Socket.objects.filter(user=ann).aclose(4000, "Bye.")
        event = await a.receive_output()
        assert event == {"type": "websocket.close", "code": 4000, "reason": "Bye."}
        await until_rows(["/b/"])
        assert await frames_of(b) == []


async def test_a_close_says_goodbye_as_usual():
    async with tab() as client:
        await sync_to_async(Socket.objects.all().close)()
        assert await client.receive_output() == {
            "type": "websocket.close",
            "code": 1000,
            "reason": "",
        }
        await until_rows([])


# Signs of life


CLEANUPS = [lambda rows, wait: rows.acleanup_stale(wait)]
CLEANUPS += [lambda rows, wait: sync_to_async(rows.cleanup_stale)(wait)]


@pytest.mark.parametrize("cleanup_stale", CLEANUPS, ids=["awaited", "in a thread"])
async def test_who_is_silent_is_closed(cleanup_stale):
    async with tab("/a/") as asked, tab("/b/") as other:
        await cleanup_stale(Socket.objects.filter(path="/a/"), 0)
        assert await asked.receive_json_from() == {"type": "PING"}
        assert await asked.next_close() == 4508
        await until_rows(["/b/"])
        assert await frames_of(other) == []


@pytest.mark.parametrize("answer", ['{"type": "PING"}', '{"type": "NOW"}', "not even JSON"])
async def test_who_answers_stays_and_the_row_has_the_time(answer):
    began = timezone.now()
    async with tab() as client:
        row = await row_of(client)
        assert row.last_ping is None
        await Socket.objects.acleanup_stale(wait=60)
        assert await client.receive_json_from() == {"type": "PING"}
        await client.send_to(answer)
        async with asyncio.timeout(5):
            while (await Socket.objects.aget()).last_ping is None:
                await asyncio.sleep(0.01)
        assert began <= (await Socket.objects.aget()).last_ping <= timezone.now()
        [member] = Hub.current().members
        assert member.due == inf


async def test_an_answer_counts_for_all_questions_before_it_and_none_after():
    async with tab() as client:
        await Socket.objects.acleanup_stale(wait=60)
        await Socket.objects.acleanup_stale(wait=60)
        [member] = Hub.current().members
        assert member.due < inf
        assert await frames_of(client) == [{"type": "PING"}] * 2
        assert member.due == inf
        await Socket.objects.acleanup_stale(wait=0)
        assert await client.receive_json_from() == {"type": "PING"}
        assert await client.next_close() == 4508


async def test_who_says_much_unasked_has_no_time_in_the_row():
    async with tab() as client:
        assert await frames_of(client) == []
        assert (await row_of(client)).last_ping is None


async def test_a_protocol_without_the_question_is_not_asked():
    class Mute(Native):
        def ping(self):
            return None

    class MuteTab(Tab):
        protocols = (Mute(),)

    async with tab(handler=MuteTab) as client:
        await Socket.objects.acleanup_stale(wait=0)
        assert await frames_of(client) == []


async def test_who_is_gone_before_the_answer_is_due_leaves_nothing_behind():
    async with tab("/a/"):
        async with tab("/b/"):
            await Socket.objects.filter(path="/b/").acleanup_stale(wait=60)
            [member] = [one for one in Hub.current().members if one.due < inf]
        assert member.due == inf


def old_row(process, **fields):
    row = Socket.objects.create(process=process, path="/", **{"active": False, **fields})
    Socket.objects.filter(pk=row.pk).update(created=timezone.now() - timedelta(minutes=6))
    return row


def test_purging_deletes_the_inactive_that_were_not_heard_of(process):
    kept = {
        old_row(process, active=True),
        old_row(process, last_ping=timezone.now() - timedelta(minutes=4)),
        Socket.objects.create(process=process, path="/", active=False),
    }
    old_row(process)
    old_row(process, last_ping=timezone.now() - timedelta(minutes=6))
    assert Socket.objects.purge_inactive() == 2
    assert set(Socket.objects.all()) == kept
    assert Socket.objects.purge_inactive(minutes=3) == 1
    assert Socket.objects.filter(path="/other/").purge_inactive(minutes=0) == 0
    assert async_to_sync(Socket.objects.all().apurge_inactive)(minutes=0) == 1
    assert Socket.objects.get().active


def test_a_distinct_selection_is_purged(process):
    user = User.objects.create(username="ann")
    user.groups.set(Group.objects.create(name=f"g{n}") for n in range(2))
    old_row(process, user=user)
    selection = Socket.objects.filter(user__groups__name__startswith="g")
    assert selection.distinct().purge_inactive() == 1


async def test_purging_closes_what_is_still_connected():
    async with tab("/a/") as a, tab("/b/") as b:
        await Socket.objects.filter(path="/a/").amark_inactive()
        assert await Socket.objects.apurge_inactive(minutes=0) == 1
        assert await a.next_close() == 4508
        assert await frames_of(b) == []
        assert [row.path async for row in Socket.objects.all()] == ["/b/"]


async def test_a_purge_that_is_rolled_back_closes_nobody():
    def purge():
        with transaction.atomic():
            Socket.objects.mark_inactive()
            assert Socket.objects.purge_inactive(minutes=0) == 1
            transaction.set_rollback(True)

    async with tab() as client:
        await sync_to_async(purge)()
        assert await frames_of(client) == []
        assert (await row_of(client)).active


# A single row


async def test_a_row_is_sent_to_without_a_query(django_assert_num_queries):
    async with tab("/a/") as client, tab("/b/") as other:
        row = await row_of(client)

        def send():
            with django_assert_num_queries(0):
                row.send_json({"n": 1})
                row.send_action("CHAT", text="hi")
                row.send_str('"text"')

        await sync_to_async(send)()
        await row.asend_json({"n": 2})
        await row.asend_action("CHAT")
        await row.asend_str("5")
        assert await frames_of(client) == [
            {"n": 1},
            {"type": "CHAT", "text": "hi"},
            "text",
            {"n": 2},
            {"type": "CHAT"},
            5,
        ]
        await row.aclose(4000, "Bye.")
        event = await client.receive_output()
        assert (event["code"], event["reason"]) == (4000, "Bye.")
        assert await frames_of(other) == []


async def test_a_row_is_closed_in_a_thread():
    async with tab() as client:
        row = await row_of(client)
        await sync_to_async(row.close)()
        assert await client.next_close() == 1000


async def test_a_row_can_be_sent_to_before_it_is_in_the_database():
    class Greeting(Tab):
        async def connect(self):
            await self.row.asend_json("welcome")

    async with tab(handler=Greeting) as client:
        assert await frames_of(client) == ["welcome"]


async def test_a_row_whose_connection_is_gone_can_be_sent_to(row):
    await row.asend_json(1)
    await row.aclose()
    async with tab() as client:
        await row.asend_json(1)
        assert await frames_of(client) == []


async def test_an_excluded_row_is_spared():
    async with tab() as client:
        row = await row_of(client)
        for exclude in (row, Socket.objects.filter(pk=row.pk)):
            await row.asend_json(1, exclude=exclude)
            await sync_to_async(row.send_json)(1, exclude=exclude)
        assert await frames_of(client) == []


@pytest.mark.parametrize("cleanup_stale", CLEANUPS, ids=["awaited", "in a thread"])
async def test_a_row_cleans_up_the_users_other_sockets_on_its_path(ann, ben, cleanup_stale):
    async with (
        tab("/a/", user=ann) as own,
        tab("/a/", user=ann) as stale,
        tab("/b/", user=ann) as elsewhere,
        tab("/a/", user=ben) as others,
        tab("/a/") as nobodys,
    ):
        await cleanup_stale(await row_of(own), 0)
        assert await stale.receive_json_from() == {"type": "PING"}
        assert await stale.next_close() == 4508
        for spared in (own, elsewhere, others, nobodys):
            assert await frames_of(spared) == []


async def test_a_row_of_nobody_cleans_up_the_others_of_its_session():
    session, other_session = SessionStore(), SessionStore()
    await session.acreate()
    await other_session.acreate()
    async with (
        tab(session=session) as own,
        tab(session=session) as stale,
        tab(session=other_session) as other,
        tab() as without,
        tab(),
    ):
        await (await row_of(without)).acleanup_stale(0)
        await (await row_of(own)).acleanup_stale(0)
        assert await stale.receive_json_from() == {"type": "PING"}
        assert await stale.next_close() == 4508
        for spared in (own, other, without):
            assert await frames_of(spared) == []


# Inside transactions


async def test_inside_a_transaction_it_goes_out_on_commit():
    content = {"n": 1}

    def send():
        row = Socket.objects.get()
        with transaction.atomic():
            Socket.objects.all().send_json(content)
            row.send_json(content)
            Socket.objects.all().send_str('"text"')
            content["n"] = 2
            Socket.objects.all().send_action("FIRST", immediate=True)
            row.send_action("SECOND", immediate=True)

    async with tab() as client:
        await sync_to_async(send)()
        assert await frames_of(client) == [
            {"type": "FIRST"},
            {"type": "SECOND"},
            {"n": 1},
            {"n": 1},
            "text",
        ]


async def test_what_is_rolled_back_is_never_sent():
    def send():
        rows = Socket.objects.all()
        with transaction.atomic():
            rows.send_json("rolled back")
            rows.get().close()
            rows.close()
            rows.cleanup_stale(0)
            transaction.set_rollback(True)
        with transaction.atomic():
            rows.send_json(1)
            with transaction.atomic():
                rows.send_json(2)
            with transaction.atomic():
                rows.send_json("rolled back to the savepoint")
                rows.get().send_json("and this")
                transaction.set_rollback(True)

    async with tab() as client:
        await sync_to_async(send)()
        assert await frames_of(client) == [1, 2]


async def test_who_was_selected_at_the_call_or_is_at_the_commit_gets_it():
    def send():
        active = Socket.objects.filter(active=True)
        Socket.objects.filter(path="/late/").mark_inactive()
        with transaction.atomic():
            active.send_json(1)
            Socket.objects.filter(path="/early/").mark_inactive()
            Socket.objects.filter(path="/late/").mark_active()

    async with tab("/early/") as early, tab("/late/") as late:
        await sync_to_async(send)()
        assert await frames_of(early) == [1]
        assert await frames_of(late) == [1]


async def in_transaction(*steps):
    """Run synchronous steps in one transaction, and between them asynchronous ones."""
    loop = asyncio.get_running_loop()

    def run():
        with transaction.atomic():
            for step in steps:
                if asyncio.iscoroutine(step):
                    asyncio.run_coroutine_threadsafe(step, loop).result()
                else:
                    step()

    await sync_to_async(run)()


async def test_who_is_gone_at_the_commit_does_no_harm():
    async with tab() as stays, tab() as leaves:
        await in_transaction(lambda: Socket.objects.all().send_json(1), leaves.disconnect())
        assert await frames_of(stays) == [1]


async def test_who_connects_before_the_commit_gets_it():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite writes no row while another transaction reads")
    async with tab() as first, AsyncExitStack() as stack:
        clients = []

        async def enter():
            clients.append(await stack.enter_async_context(tab()))

        await in_transaction(lambda: Socket.objects.all().send_json(1), enter())
        assert await frames_of(first) == [1]
        assert await frames_of(clients[0]) == [1]


async def test_beneath_async_to_sync_the_waiting_threads_transaction_counts():
    def send():
        row = Socket.objects.get()
        with transaction.atomic():
            async_to_sync(Socket.objects.all().asend_json)("on commit")
            async_to_sync(row.asend_json)("on commit")
            async_to_sync(Socket.objects.all().asend_json)("at once", immediate=True)
            async_to_sync(row.asend_json)("at once", immediate=True)

    async with tab() as client:
        await sync_to_async(send)()
        assert await frames_of(client) == ["at once"] * 2 + ["on commit"] * 2


async def test_in_a_handler_beneath_async_to_sync_its_transaction_counts():
    router = SocketRouter(handler=Tab)

    @router.route("GO")
    def on_go(socket):
        with transaction.atomic():
            async_to_sync(Socket.objects.all().asend_json)("on commit")
            async_to_sync(socket.row.asend_json)("on commit")
            socket.send_json("at the call")

    async with tab(handler=router) as client:
        await client.send_json_to({"type": "GO"})
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames == ["at the call", "on commit", "on commit"]


async def test_an_awaited_send_goes_out_at_once():
    router = SocketRouter(handler=Tab)

    @router.route("GO")
    async def on_go(socket):
        await Socket.objects.all().asend_json(1)
        await socket.row.asend_json(2)
        return 3

    async with tab(handler=router) as client:
        await client.send_json_to({"type": "GO", "ref": 1})
        frames = [await client.receive_json_from() for _ in range(3)]
        assert frames[:2] == [1, 2]


async def test_a_fault_after_the_commit_is_logged_and_not_raised(caplog, monkeypatch):
    def send():
        with transaction.atomic():
            Socket.objects.all().send_json(1)
            transaction.on_commit(lambda: done.append(True))
            monkeypatch.setattr(Socket.objects.all().__class__, "_places", None)

    done = []
    async with tab():
        await sync_to_async(send)()
        monkeypatch.undo()
    assert done
    assert [record.name for record in caplog.records] == ["django.db.backends.base"]
