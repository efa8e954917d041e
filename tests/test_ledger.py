"""Numbering what one sender tells one address."""

import asyncio
import logging

import pytest

from sockets import ledger as ledger_module
from sockets.ledger import Batch, Ledger, Line, Seldom

from .conftest import until


@pytest.fixture
async def ledger():
    """A ledger, `holes` of which were told of."""

    def on_missed():
        ledger.holes += 1

    ledger = Ledger(on_missed)
    ledger.holes = 0
    yield ledger
    ledger.close()


def batch(number, *texts, line="sender.line", age=1e6):
    return Batch(line, age, number, list(texts))


# Batches


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["a b", "", "é 🎲"]])
@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_batch_arrives_as_it_was(texts, encode):
    sent = batch(10**15, *texts, age=0.125)
    assert Batch.unpack(encode(sent.pack())) == sent


@pytest.mark.parametrize(
    "found",
    ["", "a", "a 1.0", "a 1.0 1 1", "a one 1", "a 1.0 1.5", "a  1", b"\xff", None, 5, ["a 1.0 1"]],
)
def test_what_is_no_batch_is_told(found):
    with pytest.raises(ValueError):
        Batch.unpack(found)


def test_a_line_is_its_senders_and_like_no_other():
    one, two = Line("sender", "here"), Line("sender", "here")
    assert one.id.startswith("sender.")
    assert one.id != two.id
    assert one.number == 0


# What is missed


async def test_texts_that_follow_each_other_are_all_news(ledger):
    assert ledger.enter(batch(7, "7", "8")) == ["7", "8"]
    assert ledger.enter(batch(9, "9")) == ["9"]
    assert ledger.enter(batch(10)) == []
    assert (ledger.missed, ledger.holes) == (0, 0)


async def test_a_hole_is_counted_and_what_follows_it_taken(ledger, caplog):
    ledger.enter(batch(0, "0"))
    assert ledger.enter(batch(5, "5")) == ["5"]
    assert (ledger.missed, ledger.holes) == (4, 1)
    assert "did not come here (4 so far)" in caplog.text


async def test_a_repeated_number_shows_that_the_last_ones_are_missing(ledger):
    ledger.enter(batch(0, "0"))
    assert ledger.enter(batch(3)) == []
    assert ledger.enter(batch(3)) == []
    assert (ledger.missed, ledger.holes) == (2, 1)


async def test_what_comes_twice_is_taken_once(ledger):
    ledger.enter(batch(0, "0", "1"))
    assert ledger.enter(batch(0, "0", "1")) == []
    assert ledger.enter(batch(1, "1", "2")) == ["2"]
    assert ledger.enter(batch(3, "3")) == ["3"]
    assert ledger.missed == 0


async def test_what_comes_after_all_was_missed_already(ledger):
    ledger.enter(batch(0, "0"))
    ledger.enter(batch(2, "2"))
    assert ledger.enter(batch(1, "1")) == []
    assert ledger.enter(batch(3, "3")) == ["3"]
    assert ledger.missed == 1


async def test_lines_do_not_mingle(ledger):
    for number in range(3):
        assert ledger.enter(batch(number, "a", line="a")) == ["a"]
        assert ledger.enter(batch(5 + number, "b", line="b")) == ["b"]
    assert ledger.missed == 0


@pytest.fixture
def clock(monkeypatch):
    """The time in this process, in a list; of others only the ages of their lines are known."""
    now = [1000.0]
    monkeypatch.setattr(ledger_module, "monotonic", lambda: now[0])
    return now


def test_a_line_knows_its_age(clock):
    line = Line("sender", "here")
    clock[0] += 2.5
    assert line.age == 2.5


async def test_of_a_line_that_began_before_nothing_is_expected(clock, ledger):
    ledger.begin()
    clock[0] += 10
    assert ledger.enter(batch(5, "5", age=11)) == ["5"]
    assert ledger.missed == 0


async def test_of_a_line_that_began_later_everything_is_expected(clock, ledger):
    ledger.begin()
    clock[0] += 10
    assert ledger.enter(batch(5, "5", age=9)) == ["5"]
    assert ledger.missed == 5


async def test_to_listen_again_changes_nothing_in_that(clock, ledger):
    ledger.begin()
    clock[0] += 10
    ledger.begin()
    ledger.enter(batch(5, "5", age=9))
    assert ledger.missed == 5


async def test_before_anything_is_heard_nothing_is_expected(ledger):
    ledger.enter(batch(5, "5", age=0))
    assert ledger.missed == 0


@pytest.mark.parametrize("number", [-1, 2 + 2**33, 10**30])
async def test_numbers_that_cannot_be_are_told_and_change_nothing(ledger, number):
    ledger.enter(batch(0, "0"))
    with pytest.raises(ValueError, match="expected the number 1, got"):
        ledger.enter(batch(number, "strange"))
    assert ledger.enter(batch(1, "1")) == ["1"]
    assert ledger.missed == 0


async def test_lines_that_are_silent_for_long_are_forgotten(clock, ledger):
    ledger.begin()
    for line in "ab":
        ledger.enter(batch(0, "0", line=line, age=0))
    clock[0] += 400
    ledger.enter(batch(1, "1", line="a"))
    clock[0] += 400
    ledger.enter(batch(0, "0", line="c"))
    assert list(ledger._known) == ["a", "c"]
    # What is known no more may have been heard before.
    assert ledger.enter(batch(9, "9", line="b", age=799)) == ["9"]
    assert ledger.missed == 0


# The log


async def test_what_happens_often_is_told_seldom_and_the_last_of_it_for_certain(
    monkeypatch, caplog
):
    monkeypatch.setattr(ledger_module, "SELDOM", 0.05)
    log = Seldom(logging.WARNING)
    for number in range(100):
        log.tell("%d so far", number)
    assert caplog.messages == ["0 so far"]
    await until(lambda: len(caplog.messages) == 2)
    await asyncio.sleep(0.1)
    assert caplog.messages == ["0 so far", "99 so far"]
    log.tell("%d so far", 100)
    log.tell("%d so far", 101)
    log.finish()
    assert caplog.messages[2:] == ["100 so far", "101 so far"]
