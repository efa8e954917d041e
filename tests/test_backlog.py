"""What waits for one client, in its order."""

import pytest

from sockets.backlog import Backlog, broadcast_of, event_of
from sockets.protocols.base import Protocol
from sockets.protocols.native import Native


def own(text):
    return event_of(text), len(text), False


def missed(number):
    return f"missed {number}"


def texts(backlog):
    """All that is taken from it, to its end."""
    taken = []
    while backlog.parcels:
        taken.append(backlog.take()[0]["text"])
    return taken


def filled(backlog, given):
    """How many broadcasts were dropped when these were added: broadcasts are numbers."""
    dropped = 0
    for text in given:
        if text.isdecimal():
            dropped += backlog.offer(broadcast_of(text))
        else:
            backlog.add(own(text))
    return dropped


@pytest.mark.parametrize(("frame", "kind"), [("é", "text"), (b"\0", "bytes")])
def test_a_frame_is_an_event_of_its_kind(frame, kind):
    assert event_of(frame) == {"type": "websocket.send", kind: frame}
    assert broadcast_of(frame) == (event_of(frame), 1, True)


def test_silence_is_no_parcel():
    assert broadcast_of(None) is None


def test_what_waits_for_one_client_is_no_others():
    one, another = Backlog(100, 100), Backlog(100, 100)
    one.add(own("a"))
    assert not another.parcels
    one.clear()
    another.add(own("b"))
    assert (texts(one), texts(another)) == ([], ["b"])


def test_parcels_are_taken_in_their_order():
    backlog = Backlog(100, 100)
    filled(backlog, ["a", "1", "b", "2"])
    assert backlog.bytes == 4
    assert texts(backlog) == ["a", "1", "b", "2"]
    assert backlog.bytes == 0


def test_a_share_is_of_bytes_and_of_frames():
    backlog = Backlog(10, 4)
    backlog.add(own("x" * 10))
    assert backlog.exceeds(0.5) and not backlog.exceeds(1)
    assert backlog.exceeds(1, more=1)
    backlog.clear()
    assert not backlog.exceeds(0)
    filled(backlog, "abcd")
    assert backlog.exceeds(0.5) and not backlog.exceeds(1)
    backlog.add(own("e"))
    assert backlog.exceeds(1)


@pytest.mark.parametrize(("max_bytes", "max_frames"), [(8, 100), (1000, 8)])
def test_the_oldest_broadcasts_make_room_until_half_is_free(max_bytes, max_frames):
    backlog = Backlog(max_bytes, max_frames, missed)
    assert filled(backlog, "123456789") == 0
    assert filled(backlog, "0") == 5
    assert texts(backlog) == ["missed 5", *"67890"]


def test_a_clients_own_frames_are_never_dropped():
    backlog = Backlog(100, 4, missed)
    dropped = filled(backlog, ["1", "a", "2", "b", "3", "c", "4", "d"])
    assert texts(backlog) == [f"missed {dropped}", "a", "b", "c", "4", "d"]
    assert dropped == 3


def test_where_own_frames_leave_no_room_the_new_broadcast_is_dropped():
    backlog = Backlog(100, 2, missed)
    assert filled(backlog, ["a", "b", "c", "1", "2"]) == 2
    assert texts(backlog) == ["missed 2", "a", "b", "c"]


def test_a_huge_broadcast_finds_room():
    backlog = Backlog(4, 100, missed)
    assert filled(backlog, ["1" * 10]) == 0
    assert filled(backlog, ["2" * 10]) == 1
    assert texts(backlog) == ["missed 1", "2" * 10]


def test_what_is_missed_between_two_frames_is_told_together_and_once():
    backlog = Backlog(100, 2, missed)
    sent = [str(number) for number in range(100)]
    dropped, received = 0, []
    for number in range(0, 100, 10):
        dropped += filled(backlog, sent[number : number + 10])
        received += [backlog.take()[0]["text"], backlog.take()[0]["text"]]
    received += texts(backlog)
    told = [int(text.removeprefix("missed ")) for text in received if text.startswith("missed")]
    assert len(told) == 10
    assert sum(told) == dropped == 100 - (len(received) - len(told))


def test_a_protocol_without_the_words_is_silent():
    backlog = Backlog(100, 2, Protocol().lagged)
    assert filled(backlog, "1234") == 2
    assert texts(backlog) == ["3", "4"]


def test_the_native_wire_has_the_words():
    assert Native().lagged(12) == '{"type":"LAGGED","n":12}'


def test_a_protocol_that_fails_stops_nothing(caplog):
    backlog = Backlog(100, 2, lambda number: 1 / 0)
    assert filled(backlog, "1234") == 2
    assert texts(backlog) == ["3", "4"]
    assert "missed 2 broadcasts" in caplog.text


def test_broadcasts_may_be_forgotten_and_then_all():
    backlog = Backlog(100, 100)
    filled(backlog, ["1", "own", "2"])
    assert backlog.drop_broadcasts() == 2
    assert backlog.bytes == 3
    assert backlog.drop_broadcasts() == 0
    backlog.clear()
    assert texts(backlog) == []
    assert backlog.bytes == 0
