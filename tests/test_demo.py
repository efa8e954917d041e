"""The demo, as the people see it who open it: in real browsers, on the server that they start."""

import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from demo.game import COLUMNS, ROWS, discs_of, find_line

from .browsers import PHONE, WIDE, Visitor, chromium
from .servers import ROOT, Server, free_port, run, serving

LEASE = 1.0
"""Seconds after which the connections of a killed server are taken for dead."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """The demo as it is after `migrate`, and with a shorter lease."""
    folder = tmp_path_factory.mktemp("fresh")
    shutil.copy(ROOT / "manage.py", folder)
    shutil.copytree(ROOT / "demo", folder / "demo", ignore=shutil.ignore_patterns("*.sqlite3*"))
    with (folder / "demo" / "settings.py").open("a") as settings:
        settings.write(f'SOCKETS = {{"LEASE": {LEASE}}}\n')
    run("manage.py", "migrate", "--verbosity=0", cwd=folder)
    return folder


@contextmanager
def demo(folder: Path, kind: str = "runserver", port: int | None = None) -> Iterator[Server]:
    log = folder / "server.log"
    manage = ("manage.py",)
    with serving(
        kind, "demo.asgi:application", log, cwd=folder, manage=manage, port=port
    ) as server:
        yield server
        assert server.faults() == []


@pytest.fixture
def folder(fresh, tmp_path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "demo"))


@pytest.fixture
def server(folder) -> Iterator[Server]:
    with demo(folder) as server:
        yield server


@asynccontextmanager
async def people(
    server: Server, *sizes: tuple[int, int], guests: bool = True
) -> AsyncIterator[list["Person"]]:
    """People with a browser each, at the table in the attic, where nobody sits yet."""
    async with chromium() as browser:
        everybody = [await Person.come(browser, server.origin, size) for size in sizes]
        for person in everybody:
            await person.enter("The attic", guest=guests)
        yield everybody
        for person in everybody:
            assert person.faults == []


class Person(Visitor):
    """What a person does and sees at a table."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.alert = page.get_by_role("alert")
        self.verdict = page.locator("#verdict")
        self.discs = page.locator("#discs i")
        self.people = page.locator("#people li")
        self.connection = page.get_by_role("status")

    async def enter(self, table: str, *, guest: bool = True) -> None:
        await self.page.goto("/")
        if guest:
            await self.page.get_by_role("button", name="Play as a guest").click()
            await expect(self.page.get_by_role("button", name="Leave")).to_be_visible()
        await self.page.get_by_role("link", name=table).click()
        await expect(self.connection).to_have_text("Live")

    async def name(self) -> str:
        return await self.page.locator(".me").inner_text()

    async def sit(self, colour: str) -> None:
        await self.page.locator(f".seat.{colour}").get_by_role("button", name="Sit here").click()
        await expect(self.page.locator(f".seat.{colour} small")).to_have_text("you")

    async def drop(self, column: int) -> None:
        await self.page.get_by_role("button", name=f"Column {column}").click()

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Say something").fill(text)
        await self.page.get_by_role("button", name="Say", exact=True).click()

    async def is_told(self, text: str) -> None:
        await expect(self.alert).to_have_text(text)

    async def sees(self, *, discs: int) -> None:
        await expect(self.discs).to_have_count(discs)


async def play(red: Person, yellow: Person, moves: str, onlooker: Person | None = None) -> None:
    """Drop discs in turn, each seen by everybody before the next one."""
    for number, column in enumerate(moves, start=await red.discs.count()):
        await (yellow if number % 2 else red).drop(int(column))
        for person in filter(None, (red, yellow, onlooker)):
            await person.sees(discs=number + 1)


async def test_two_people_see_each_others_moves_words_and_presence(server):
    async with people(server, WIDE, PHONE) as (ann, bob):
        await bob.page.emulate_media(color_scheme="dark")
        ann_name, bob_name = await ann.name(), await bob.name()
        for person in (ann, bob):
            await expect(person.people).to_have_text([ann_name, bob_name])
        await ann.sit("red")
        await expect(bob.page.locator(".seat.red b")).to_have_text(ann_name)
        await ann.drop(4)
        await expect(ann.verdict).to_contain_text("Who plays yellow? Take the seat")
        await bob.sit("yellow")
        await play(ann, bob, "4533542")
        await expect(ann.verdict).to_have_text("Your turn.")
        await expect(bob.verdict).to_have_text(f"Waiting for {ann_name}.")
        await ann.say("Good luck!")
        await bob.say("And <b>you</b>.")
        for person in (ann, bob):
            lines = person.page.locator("#lines li")
            await expect(lines).to_have_text(
                [f"{ann_name} Good luck!", f"{bob_name} And <b>you</b>."]
            )
        await ann.take_picture("table-1280")
        await bob.take_picture("table-390-dark")
        await bob.page.close()
        await expect(ann.people).to_have_text([ann_name])
        await expect(ann.page.locator(".seat.yellow small")).to_have_text("away")


async def test_four_in_a_row_win_and_the_colours_change(server):
    async with people(server, WIDE, WIDE) as (ann, bob):
        await ann.sit("red")
        await bob.sit("yellow")
        await play(ann, bob, "4354637")
        name = await ann.name()
        for person in (ann, bob):
            await expect(person.verdict).to_have_text(f"{name} wins!")
            await expect(person.page.locator("#discs i.won")).to_have_count(4)
        await ann.drop(1)
        await ann.is_told("This game is over. Play again?")
        await bob.page.get_by_role("button", name="Play again").click()
        for person in (ann, bob):
            await person.sees(discs=0)
        await expect(bob.verdict).to_have_text("Your turn.")  # who lost begins


async def test_bad_moves_are_told_and_change_nothing(server):
    async with people(server, WIDE, WIDE, WIDE) as (ann, bob, eve):
        await ann.sit("red")
        await bob.sit("yellow")
        await bob.drop(1)
        await bob.is_told(f"Wait for {await ann.name()} to move.")
        await eve.drop(1)
        await eve.is_told("You only watch this table. Take a seat that is free.")
        await play(ann, bob, "111111")
        await ann.drop(1)
        await ann.is_told("Column 1 is full.")
        await ann.sees(discs=6)
        await play(ann, bob, "2")  # and the game goes on


async def test_a_visitor_watches_and_is_told_to_come_in(server):
    async with people(server, WIDE, guests=False) as (eve,):
        await expect(eve.people).to_have_text(["1 watching"])
        await eve.drop(1)
        await eve.is_told("Come in first: one click makes you a guest.")
        await eve.page.get_by_role("button", name="Play as a guest").click()
        await expect(eve.page.locator(".me")).to_be_visible()
        await expect(eve.page.get_by_role("heading", name="The attic")).to_be_visible()
        await expect(eve.people).to_have_text([await eve.name()])


async def test_a_second_tab_of_the_same_browser_plays_along(server):
    async with people(server, WIDE) as (ann,):
        await ann.sit("red")
        await expect(ann.verdict).to_have_text("Your turn.")
        tab = Person(await ann.page.context.new_page())
        await tab.page.goto(ann.page.url)
        await expect(tab.people).to_have_text([await ann.name()])
        await tab.sit("yellow")
        await play(ann, tab, "4453")
        assert tab.faults == []


async def test_a_reload_brings_everything_back(server):
    async with people(server, WIDE, WIDE) as (ann, bob):
        await ann.sit("red")
        await bob.sit("yellow")
        await play(ann, bob, "445")
        await bob.say("Wait, the kettle.")
        await expect(ann.page.locator("#lines li")).to_have_count(1)
        await ann.page.reload()
        await ann.sees(discs=3)
        await expect(ann.verdict).to_have_text(f"Waiting for {await bob.name()}.")
        await expect(ann.page.locator("#lines li")).to_contain_text("Wait, the kettle.")
        await play(ann, bob, "3")


async def test_a_killed_server_that_comes_back_is_played_on(folder):
    port = free_port()
    with demo(folder, port=port) as server:
        async with people(server, WIDE, WIDE, WIDE) as (ann, bob, eve):
            names = [await ann.name(), await bob.name()]
            await ann.sit("red")
            await bob.sit("yellow")
            await play(ann, bob, "445", onlooker=eve)
            server.signal(signal.SIGKILL)
            for person in (ann, bob, eve):
                await expect(person.connection).to_have_text("Reconnecting …")
            await ann.drop(3)
            await ann.is_told("Not connected. Wait a moment.")
            await eve.page.close()  # of which the server that comes back knows nothing
            with demo(folder, port=port):
                for person in (ann, bob):
                    await expect(person.connection).to_have_text("Live", timeout=15_000)
                    await expect(person.people).to_have_text(in_any_order(names), timeout=15_000)
                    await person.sees(discs=3)
                await play(ann, bob, "33")


def in_any_order(names: list[str]) -> list[re.Pattern[str]]:
    """The names in whichever order their pages came back."""
    either = re.compile("|".join(map(re.escape, names)))
    return [either] * len(names)


async def test_leaving_in_one_tab_makes_a_visitor_of_the_other(server):
    async with people(server, WIDE) as (ann,):
        tab = Person(await ann.page.context.new_page())
        await tab.page.goto(ann.page.url)
        await expect(tab.page.get_by_role("button", name="Leave")).to_be_visible()
        await ann.page.get_by_role("button", name="Leave").click()
        await expect(tab.page.get_by_role("button", name="Play as a guest")).to_be_visible()
        await expect(tab.people).to_have_text(["1 watching"])


async def test_the_board_shows_every_table_as_it_changes(server):
    async with people(server, WIDE, WIDE) as (ann, eve):
        await eve.page.goto("/")
        card = eve.page.get_by_role("link", name="The attic")
        await expect(card.locator("small")).to_have_text("1 here")
        await ann.sit("red")
        await expect(card.locator("span")).to_have_text(f"{await ann.name()} and nobody")
        await ann.drop(4)
        await expect(card.locator("i")).to_have_count(1)
        await eve.take_picture("board-1280")
        await eve.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await eve.page.emulate_media(color_scheme="dark")
        await eve.take_picture("board-390-dark")
        await ann.page.close()
        await expect(card.locator("small")).to_have_text("nobody here")


async def test_whoever_opens_a_table_sits_at_it(server):
    async with people(server, WIDE, WIDE) as (ann, eve):
        await eve.page.goto("/")
        await ann.page.goto("/")
        await ann.page.get_by_label("Name of the table").fill("The attic")
        await ann.page.get_by_role("button", name="Open a table").click()
        await ann.is_told("Table with this Name already exists.")
        await ann.page.get_by_label("Name of the table").fill("The cellar")
        await ann.page.get_by_role("button", name="Open a table").click()
        await expect(ann.page.locator(".seat.red small")).to_have_text("you")
        await expect(eve.page.locator("#tables li").first).to_contain_text("The cellar")


REFUSALS = [
    ({"type": "DROP_9"}, 400, "There is no column 9; choose from 1 to 7."),
    ({"type": "SAY", "text": ""}, 400, "Expected `str` of length >= 1"),
    ({"type": "SAY"}, 400, "This field is required."),
    ({"type": "AGAIN"}, 400, "This game is not over yet."),
    ({"type": "SHOUT"}, 404, "Unknown type: 'SHOUT'."),
    ({"type": "SIT_GREEN"}, 404, "Unknown type: 'SIT_GREEN'."),
]


async def test_what_no_page_sends_is_refused_too(server):
    async with server.client("/tables/2/", cookie=await a_guest(server)) as client:
        assert [(await client.receive())["type"] for _ in range(2)] == ["TABLE", "CHAT"]
        await client.send({"type": "SIT_RED", "ref": "sit"})
        types = {(await client.receive())["type"] for _ in range(2)}
        assert types == {"TABLE", "SIT_RED"}
        for fields, status, text in REFUSALS:
            answer = await client.ask(**fields)
            assert (answer["status"], answer["errors"][0]["text"]) == (status, text)


async def a_guest(server: Server) -> str:
    """The cookie of somebody who came in as a guest."""
    async with chromium() as browser:
        person = await Person.come(browser, server.origin)
        await person.enter("The attic")
        cookies = await person.page.context.cookies()
        return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in cookies)


async def test_a_table_that_is_not_there_has_neither_page_nor_socket(server):
    assert (await server.get("/tables/99/"))[0] == 404
    async with server.client("/tables/99/") as client:
        assert await client.close_code() == 4403


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_other_servers_serve_it_whole(folder, kind):
    with demo(folder, kind) as server:
        status, _, page = await server.get("/")
        assert status == 200
        for path in set(re.findall(r"/static/[\w/.]+", page)):
            assert (await server.get(path))[0] == 200, path
        async with server.client("/") as client:
            tables = (await client.receive())["tables"]
            assert [table["name"] for table in tables] == ["The garden", "The attic", "The harbour"]


def test_the_demo_stays_small():
    files = (ROOT / "demo").rglob("*.py")
    assert sum(len(file.read_text().splitlines()) for file in files) < 400


@pytest.mark.parametrize(
    "moves, line",
    [
        ("", []),
        ("4453", []),
        ("1122334", [(1, 1), (2, 1), (3, 1), (4, 1)]),
        ("1212121", [(1, 1), (1, 2), (1, 3), (1, 4)]),
        ("12233434464", [(1, 1), (2, 2), (3, 3), (4, 4)]),
        ("76655454424", [(4, 4), (5, 3), (6, 2), (7, 1)]),
    ],
)
def test_four_discs_in_any_direction_are_a_line(moves, line):
    assert find_line(moves) == line
    colours = {discs_of(moves)[cell] for cell in line}
    assert colours <= {"red"}


def test_a_full_column_holds_six_discs():
    discs = discs_of("1" * ROWS)
    assert discs[1, 1] == "red"
    assert discs[1, ROWS] == "yellow"
    assert len(discs) == ROWS < COLUMNS
