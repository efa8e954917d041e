"""Sending to rows: which processes a broadcast is for."""

import uuid

import pytest

from sockets.broadcasts import Event, Target
from sockets.recipients import FEW, Recipients, address

CHAT = Event.of({"type": "CHAT"})


def places(*processes):
    """Connections, one in each of these processes."""
    return {uuid.uuid4(): process for process in processes}


def new_ids(number):
    return [uuid.uuid4() for _ in range(number)]


def test_what_few_processes_have_is_for_them_alone():
    processes = new_ids(FEW)
    connections = places(*processes, *processes)
    broadcast, found = address(connections, CHAT)
    assert broadcast.target == Target("ids", ids=tuple(connections))
    assert broadcast.deed is CHAT
    assert found == set(processes)


def test_what_many_processes_have_is_for_everyone():
    broadcast, found = address(places(*new_ids(FEW + 1)), CHAT)
    assert len(broadcast.target.ids) == FEW + 1
    assert found is None


def test_what_is_in_an_unknown_process_is_for_everyone():
    assert address(places(None), CHAT)[1] is None
    assert address(places(*new_ids(1), None), CHAT)[1] is None


def test_the_excluded_and_their_processes_are_spared():
    here, there = new_ids(2)
    connections = places(here, there, here)
    kept, *excluded = connections
    broadcast, found = address(connections, CHAT, excluded)
    assert broadcast.target.ids == (kept,)
    assert found == {here}


def test_nobody_is_in_no_process():
    broadcast, found = address({}, CHAT)
    assert broadcast.target.ids == ()
    assert found == set()


def test_recipients_have_a_method_to_write():
    with pytest.raises(NotImplementedError):
        Recipients()._places()
