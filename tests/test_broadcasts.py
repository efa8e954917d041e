"""What is told to many connections at once, and the text in which processes pass it on."""

import uuid

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from sockets import broadcasts
from sockets.broadcasts import (
    Action,
    Broadcast,
    Close,
    Deed,
    Event,
    FrameDeed,
    LogOut,
    NewSession,
    Probe,
    Target,
    Text,
    pack,
    unpack,
)
from sockets.exceptions import CloseCode
from sockets.protocols.base import Protocol
from sockets.protocols.native import Native

from .servers import run

ONE, TWO = uuid.uuid4(), uuid.uuid4()

DEEDS = [
    Event.of({"type": "CHAT", "text": "é 🎲", "nested": [None, True, 0.5, 10**30]}),
    Event.of("text"),
    Event.of(None),
    Action.of("CHAT", {"name": "ann"}),
    Action.of("CHAT", {}),
    Text.of('not "JSON" \\ é'),
    Text.of(""),
    Close.of(CloseCode.NORMAL, ""),
    Close.of(4000, "Bye é"),
    LogOut(),
    NewSession("key", "7"),
    Probe(0.5),
]
TARGETS = [
    Target("group", ""),
    Target("group", 'a "b" \0 é 🎲'),
    Target("path", "/a/"),
    Target("session", "k" * 64),
    Target("user", "7"),
    Target("ids", ids=(ONE, TWO)),
    Target("ids"),
]


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets what was packed before it is called count as another process's."""
    return lambda: monkeypatch.setattr(broadcasts, "origin", uuid.uuid4().hex)


# Between processes


def anybody(target):
    """Whom it concerns is here."""
    return True


def nobody(target):
    return False


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: type(deed).__name__)
def test_every_deed_arrives_as_it_was(deed, elsewhere):
    sent = Broadcast(Target("group", "red"), deed, (ONE, TWO), 0.25)
    text = pack(sent)
    elsewhere()
    assert unpack(text, anybody) == sent


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_every_target_arrives_as_it_was(target, elsewhere):
    text = pack(Broadcast(target, LogOut()))
    elsewhere()
    assert unpack(text, anybody) == Broadcast(target, LogOut(), (), 0.0)


def test_what_comes_from_this_process_itself_is_nothing_new():
    assert unpack(pack(Broadcast(Target("group", "red"), LogOut())), anybody) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "no JSON",
        f"{ONE.hex}",
        f"{ONE.hex}[]\t[]",
        f'{ONE.hex}[["x"],false,[],0]\t["probe",1]',
    ],
)
def test_what_holds_no_broadcast_is_told(text):
    with pytest.raises(ValueError):
        unpack(text, anybody)


@pytest.mark.parametrize("deed", [Event.of(1), Close.of(4000, ""), NewSession("key", "7")])
def test_what_concerns_nobody_here_is_dropped_by_its_header(deed, elsewhere):
    text = pack(Broadcast(Target("group", "red"), deed)).partition("\t")[0] + "\tunread"
    elsewhere()
    assert unpack(text, nobody) is None
    with pytest.raises(ValueError):
        unpack(text, anybody)


@pytest.mark.parametrize(
    "lasting",
    [Broadcast(TARGETS[0], LogOut(False)), Broadcast(TARGETS[0], Event.of(1), delay=1.0)],
)
def test_what_concerns_who_comes_later_is_read_where_nobody_is(lasting, elsewhere):
    text = pack(lasting)
    elsewhere()
    assert unpack(text, nobody) == lasting


@pytest.mark.parametrize("text", ["a\tb\nc", "\r\n\t"])
def test_a_broadcast_is_one_line_whatever_is_in_it(text, elsewhere):
    sent = Broadcast(Target("group", text), Action.of(text, {"text": text}))
    packed = pack(sent)
    assert "\n" not in packed
    assert packed.count("\t") == 1
    elsewhere()
    assert unpack(packed, anybody) == sent


def test_a_fork_is_a_process_of_its_own(tmp_path):
    script = tmp_path / "forks.py"
    script.write_text("""
import os, sys
from sockets.broadcasts import Broadcast, LogOut, Target, pack, unpack

sent = Broadcast(Target("group", "red"), LogOut())
text = pack(sent)
anybody = lambda target: True
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert unpack(text, anybody) == sent
assert unpack(pack(sent), anybody) is None
""")
    run(str(script), DJANGO_SETTINGS_MODULE="tests.settings")


# To connections


class Connection:
    """What a deed sees of a connection; it remembers what was done to it."""

    def __init__(self, protocol=None):
        self.id = uuid.uuid4()
        self.protocol = protocol or Native()
        self.done = []

    def deliver(self, parcel):
        event, size, shared = parcel
        assert (size, shared) == (len(event["text"]), True)
        self.done.append(event["text"])

    def close(self, code, reason):
        self.done.append((code, reason))

    def log_out(self):
        self.done.append("log out")

    def move_to_session(self, key, user):
        self.done.append((key, user))

    def probe(self, wait):
        self.done.append(wait)


@pytest.mark.parametrize(
    ("deed", "done"),
    [
        (Event.of({"n": 1}), '{"n":1}'),
        (Action.of("CHAT", {"n": 1}), '{"type":"CHAT","n":1}'),
        (Text.of("text"), "text"),
        (Close.of(4000, "Bye."), (4000, "Bye.")),
        (LogOut(), "log out"),
        (NewSession("key", "7"), ("key", "7")),
        (Probe(0.5), 0.5),
    ],
)
def test_a_deed_is_done_to_each(deed, done):
    one, two = Connection(), Connection()
    deed.apply([one, two])
    assert one.done == two.done == [done]


class Counting(Native):
    """Counts what it encodes, and fails where it is told to."""

    def __init__(self, fails=False):
        self.encoded = 0
        self.fails = fails

    def event(self, content):
        self.encoded += 1
        if self.fails:
            raise ValueError("this protocol knows no events")
        return super().event(content)


def test_a_frame_is_encoded_once_for_each_protocol():
    protocols = Counting(), Counting()
    connections = [Connection(protocols[number % 2]) for number in range(10)]
    Event.of(1).apply(connections)
    assert [protocol.encoded for protocol in protocols] == [1, 1]
    assert all(connection.done == ["1"] for connection in connections)


def test_a_protocol_may_stay_silent():
    class Mute(Protocol):
        def event(self, content):
            return None

    connection = Connection(Mute())
    Event.of(1).apply([connection])
    assert connection.done == []


def test_a_protocol_that_fails_stops_no_other_and_is_logged_once(caplog):
    failing = Counting(fails=True)
    connections = [Connection(failing), Connection(failing), Connection()]
    Event.of(1).apply(connections)
    assert failing.encoded == 1
    assert connections[2].done == ["1"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_connection_that_fails_stops_no_other(caplog):
    class Broken(Connection):
        def log_out(self):
            raise RuntimeError("broken")

    broken, whole = Broken(), Connection()
    LogOut().apply([broken, whole])
    assert whole.done == ["log out"]
    assert str(broken.id) in caplog.text
    assert "broken" in caplog.text


@pytest.mark.parametrize(("deed", "method"), [(Deed(), "doing"), (FrameDeed(), "encode")])
def test_a_deed_has_every_method_to_write(deed, method):
    arguments = [Native()] if method == "encode" else []
    with pytest.raises(NotImplementedError):
        getattr(deed, method)(*arguments)


# What may be said


def test_content_is_encoded_at_once():
    content = {"n": [1]}
    deed = Event.of(content)
    content["n"].append(2)
    assert deed == Event.of({"n": [1]})


@pytest.mark.parametrize("make", [Event.of, lambda content: Action.of("CHAT", {"c": content})])
@pytest.mark.parametrize(
    ("content", "fault", "message"),
    [
        (object(), TypeError, "expected JSON-ready content, got a builtins.object"),
        ({(1, 2): 1}, TypeError, "got a key that is a builtins.tuple"),
        ("\ud800", ValueError, "got a lone surrogate"),
    ],
)
def test_what_cannot_be_encoded_is_told_at_once(make, content, fault, message):
    with pytest.raises(fault, match=message):
        make(content)


@pytest.mark.parametrize("taken", ["ref", "type"])
def test_fields_that_frames_have_are_refused(taken):
    with pytest.raises(ValueError, match=f"expected fields without '{taken}'.*; rename it"):
        Action.of("CHAT", {taken: 1})


@pytest.mark.parametrize("text", [None, 5, b"CHAT", gettext_lazy("Yes")])
def test_types_and_texts_are_strings(text):
    with pytest.raises(TypeError, match="expected a type, got"):
        Action.of(text, {})
    with pytest.raises(TypeError, match="expected text, got"):
        Text.of(text)


def test_a_safe_string_is_passed_on_as_a_plain_one(elsewhere):
    text = mark_safe("<b>")
    packed = [pack(Broadcast(Target("group", "red"), deed)) for deed in map(one_of, (text, "<b>"))]
    assert packed[0] == packed[1]
    assert type(Text.of(text).text) is str


def one_of(text):
    return Action.of(text, {"text": text})


@pytest.mark.parametrize("code", [999, 5000, -1, 0, "4000", None, 4000.0])
def test_a_close_code_is_from_1000_to_4999(code):
    with pytest.raises(ValueError, match=f"expected a close code from 1000 to 4999, got {code!r}"):
        Close.of(code, "")


def test_a_reason_may_be_translated_lazily_but_must_be_text_that_can_be_sent():
    assert Close.of(4000, gettext_lazy("Yes")) == Close(4000, "Yes")
    with pytest.raises(ValueError):
        Close.of(4000, "\ud800")
