"""Numbering what one sender tells one address."""

import asyncio
import logging
import time

import pytest

from sockets import ledger as ledger_module
from sockets.ledger import Ledger, Line, Parcel, Seldom

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


def parcel(number, *texts, line="sender.line", began=0.0):
    return Parcel(line, began, number, list(texts))


# Parcels


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["a b", "", "é 🎲"]])
@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_parcel_arrives_as_it_was(texts, encode):
    sent = parcel(10**15, *texts, began=time.time())
    assert Parcel.unpack(encode(sent.pack())) == sent


@pytest.mark.parametrize(
    "found",
    ["", "a", "a 1.0", "a 1.0 1 1", "a one 1", "a 1.0 1.5", "a  1", b"\xff", None, 5, ["a 1.0 1"]],
)
def test_what_is_no_parcel_is_told(found):
    with pytest.raises(ValueError):
        Parcel.unpack(found)


def test_a_line_is_its_senders_and_like_no_other():
    one, two = Line("sender", "here"), Line("sender", "here")
    assert one.id.startswith("sender.")
    assert one.id != two.id
    assert one.number == 0


# What is missed


async def test_texts_that_follow_each_other_are_all_news(ledger):
    assert ledger.enter(parcel(7, "7", "8")) == ["7", "8"]
    assert ledger.enter(parcel(9, "9")) == ["9"]
    assert ledger.enter(parcel(10)) == []
    assert (ledger.missed, ledger.holes) == (0, 0)


async def test_a_hole_is_counted_and_what_follows_it_taken(ledger, caplog):
    ledger.enter(parcel(0, "0"))
    assert ledger.enter(parcel(5, "5")) == ["5"]
    assert (ledger.missed, ledger.holes) == (4, 1)
    assert "did not come here (4 so far)" in caplog.text


async def test_a_repeated_number_shows_that_the_last_ones_are_missing(ledger):
    ledger.enter(parcel(0, "0"))
    assert ledger.enter(parcel(3)) == []
    assert ledger.enter(parcel(3)) == []
    assert (ledger.missed, ledger.holes) == (2, 1)


async def test_what_comes_twice_is_taken_once(ledger):
    ledger.enter(parcel(0, "0", "1"))
    assert ledger.enter(parcel(0, "0", "1")) == []
    assert ledger.enter(parcel(1, "1", "2")) == ["2"]
    assert ledger.enter(parcel(3, "3")) == ["3"]
    assert ledger.missed == 0


async def test_what_comes_after_all_was_missed_already(ledger):
    ledger.enter(parcel(0, "0"))
    ledger.enter(parcel(2, "2"))
    assert ledger.enter(parcel(1, "1")) == []
    assert ledger.enter(parcel(3, "3")) == ["3"]
    assert ledger.missed == 1


async def test_lines_do_not_mingle(ledger):
    for number in range(3):
        assert ledger.enter(parcel(number, "a", line="a")) == ["a"]
        assert ledger.enter(parcel(5 + number, "b", line="b")) == ["b"]
    assert ledger.missed == 0


async def test_of_a_line_that_began_before_nothing_is_expected(ledger):
    ledger.begin()
    assert ledger.enter(parcel(5, "5", began=time.time() - 1)) == ["5"]
    assert ledger.missed == 0


async def test_of_a_line_that_began_later_everything_is_expected(ledger):
    ledger.begin()
    assert ledger.enter(parcel(5, "5", began=time.time() + 1)) == ["5"]
    assert ledger.missed == 5


async def test_to_listen_again_changes_nothing_in_that(ledger):
    ledger.begin()
    between = time.time()
    await until(lambda: time.time() > between)
    ledger.begin()
    ledger.enter(parcel(5, "5", began=between))
    assert ledger.missed == 5


async def test_before_anything_is_heard_nothing_is_expected(ledger):
    ledger.enter(parcel(5, "5", began=time.time() + 1))
    assert ledger.missed == 0


@pytest.mark.parametrize("number", [-1, 2 + 2**33, 10**30])
async def test_numbers_that_cannot_be_are_told_and_change_nothing(ledger, number):
    ledger.enter(parcel(0, "0"))
    with pytest.raises(ValueError, match="expected the number 1, got"):
        ledger.enter(parcel(number, "strange"))
    assert ledger.enter(parcel(1, "1")) == ["1"]
    assert ledger.missed == 0


async def test_lines_that_are_silent_for_long_are_forgotten(ledger, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    ledger.begin()
    for line in "ab":
        ledger.enter(parcel(0, "0", line=line, began=now + 1))
    now += 400
    ledger.enter(parcel(1, "1", line="a"))
    now += 400
    ledger.enter(parcel(0, "0", line="c"))
    assert list(ledger._known) == ["a", "c"]
    # What is known no more may have been heard before.
    assert ledger.enter(parcel(9, "9", line="b", began=now - 799)) == ["9"]
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
