"""The native wire: JSON text, one flat object a message."""

import json
import timeit

import pytest
from django.utils.translation import gettext_lazy

from sockets.encoding import encode_json
from sockets.exceptions import HandlerFault, InvalidFrame, SocketError
from sockets.messages import Answer, Message
from sockets.protocols.base import Protocol
from sockets.protocols.native import Native

native = Native()


def decoded(**content):
    return native.decode(json.dumps(content))


def replied(data, status=200, ref=1):
    return json.loads(native.reply(Message("BET", {}, ref), data, status, None))


# Decoding


def test_a_message_is_one_flat_object():
    message = native.decode('{"type": "BET", "ref": "a", "chips": 5}')
    assert type(message) is Message
    assert (message.key, message.ref) == ("BET", "a")
    assert message.content == {"type": "BET", "ref": "a", "chips": 5}
    assert message.headers is None


@pytest.mark.parametrize("ref", ["a", "", "1", 0, -5, 10**30, "c:1", "S:1"])
def test_refs_are_strings_and_integers(ref):
    message = decoded(type="BET", ref=ref)
    assert type(message) is Message
    assert message.ref == ref


def test_a_message_may_have_no_ref():
    assert decoded(type="BET").ref is None
    assert decoded(type="BET", ref=None).ref is None


def test_an_object_without_a_type_has_no_key():
    message = decoded(chips=5, ref=1)
    assert (message.key, message.ref, message.content) == (None, 1, {"chips": 5, "ref": 1})


@pytest.mark.parametrize("space", ["", " ", "\n\t"])
def test_white_space_around_the_object_is_allowed(space):
    assert native.decode(f'{space}{{"type": "BET"}}{space}').key == "BET"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        pytest.param("{", "truncated", id="half an object"),
        pytest.param("{'type': 'BET'}", "malformed", id="python"),
        pytest.param('{"type": "BET"} x', "trailing", id="trailing"),
        pytest.param('\ufeff{"type": "BET"}', "malformed", id="byte order mark"),
        pytest.param('{"type": "BET", "x": NaN}', "malformed", id="NaN"),
        pytest.param("BET", "malformed", id="text"),
        pytest.param("", "expected a JSON object", id="empty"),
        pytest.param(" ", "expected a JSON object", id="blank"),
        pytest.param("[]", "got a list", id="list"),
        pytest.param('["BET"]', "got a list", id="list of a type"),
        pytest.param("5", "got a number", id="number"),
        pytest.param("5.5", "got a number", id="float"),
        pytest.param("null", "got null", id="null"),
        pytest.param("true", "got a boolean", id="boolean"),
        pytest.param('"BET"', "got a string", id="string"),
        pytest.param('{"type": 5}', "expected type to be a string, got a number", id="type 5"),
        pytest.param('{"type": null}', "expected type .* got null", id="type null"),
        pytest.param('{"type": true}', "expected type .* got a boolean", id="type true"),
        pytest.param('{"type": ["BET"]}', "expected type .* got a list", id="type list"),
        pytest.param('{"type": {}}', "expected type .* got an object", id="type object"),
        pytest.param('{"type": "\\ud800"}', "expected a JSON object", id="escaped surrogate"),
        pytest.param('{"type": "\ud800"}', "surrogates not allowed", id="lone surrogate"),
        pytest.param("[" * 100_000, "recursion", id="deep list"),
        pytest.param('{"type":' * 100_000, "recursion", id="deep object"),
        pytest.param('{"type": "BET", "x": 1e400}', "out of range", id="1e400"),
        pytest.param('{"x": ' + "9" * 5000 + "}", "out of range", id="5,000 digits"),
        pytest.param(b'{"type": "BET"}', "expected a JSON text frame, got 15 bytes", id="binary"),
        pytest.param(b"", "expected a JSON text frame, got 0 bytes", id="empty binary"),
    ],
)
def test_a_frame_that_is_no_message_is_refused(frame, message):
    with pytest.raises(InvalidFrame, match=message) as caught:
        native.decode(frame)
    assert caught.value.status == 400
    assert caught.value.ref is None


@pytest.mark.parametrize("ref", [1.5, True, False, [], {}, ["a"]])
def test_a_ref_of_a_wrong_type_is_refused(ref):
    with pytest.raises(InvalidFrame, match="expected ref to be a string or an integer") as caught:
        decoded(type="BET", ref=ref)
    assert caught.value.ref is None


@pytest.mark.parametrize("ref", ["a", 7])
def test_the_refusal_of_a_type_has_the_ref(ref):
    with pytest.raises(InvalidFrame, match="expected type") as caught:
        decoded(type=5, ref=ref)
    assert caught.value.ref == ref


@pytest.mark.parametrize("content", [{"type": "CONFIRM"}, {}])
def test_a_ref_of_ours_marks_an_answer(content):
    answer = decoded(**content, ref="s:1", status=404, data={"why": "gone"})
    assert answer == Answer("s:1", 404, {"why": "gone"})


def test_an_answer_without_a_status_is_a_success():
    assert decoded(type="CONFIRM", ref="s:1") == Answer("s:1", 200, None)


# Frames that are too large


@pytest.mark.parametrize("ref", ["a", 7, "é" * 200])
@pytest.mark.parametrize("shape", ['{"ref": %s, "text": %s}', '{"text": %s, "ref": %s}'])
def test_of_a_frame_that_is_too_large_only_the_ref_is_read(shape, ref):
    fields = [json.dumps(ref), json.dumps("x" * 100_000)]
    frame = shape % tuple(fields if shape.startswith('{"ref"') else reversed(fields))
    message = native.outline(frame)
    assert (message.key, message.content, message.ref) == (None, None, ref)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param('{"type": "BET"}', id="no ref"),
        pytest.param('{"ref": null}', id="null"),
        pytest.param('{"ref": 1.5}', id="a number with a fraction"),
        pytest.param('{"ref": true}', id="a boolean"),
        pytest.param('{"ref": ["a"]}', id="a list"),
        pytest.param('{"ref": "%s"}' % ("x" * 201), id="a long text"),
        pytest.param('{"ref": 1, "text": "', id="cut off"),
        pytest.param('{"ref": 1, "text": "\ud800"}', id="no UTF-8"),
        pytest.param('{"ref": 1, "pad": "%s"}' % ("x" * 2**20), id="more than 1 MiB"),
        pytest.param('[{"ref": 1}]', id="a list of objects"),
        pytest.param("[" * 100_000, id="a deep list"),
        pytest.param('{"ref":' * 100_000, id="a deep object"),
        pytest.param('{"a":' * 100_000, id="a deep field"),
        pytest.param(b"\xff", id="binary"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_ref_that_cannot_be_read_quickly_is_left_out(frame):
    assert native.outline(frame).ref is None


@pytest.mark.parametrize("many", ["[],", "1,", '{"ref":1},', '"\\u00e9",', "1e-9,"])
def test_it_is_read_within_milliseconds_whatever_else_is_in_the_frame(many):
    frame = '{"many": [%snull], "ref": "a"}' % (many * (2**20 // len(many) - 40))
    assert 2**19 < len(frame) <= 2**20
    fastest = min(timeit.repeat(lambda: native.outline(frame), number=1, repeat=5))
    assert native.outline(frame).ref == "a"
    assert fastest < 0.03


def test_a_protocol_that_does_not_say_where_refs_are_finds_none():
    class Plain(Protocol): ...

    assert Plain().outline('{"ref": 1}').ref is None


# Encoding


def test_a_reply_repeats_type_and_ref():
    expected = {"type": "BET", "ref": 1, "status": 201, "data": {"chips": 5}}
    assert replied({"chips": 5}, 201) == expected
    assert replied(None)["data"] is None


def test_a_reply_to_a_message_without_a_ref_has_none():
    assert replied([1], ref=None) == {"type": "BET", "status": 200, "data": [1]}


@pytest.mark.parametrize("ref", [0, "", "a", 10**30])
def test_every_ref_is_repeated(ref):
    assert replied(1, ref=ref)["ref"] == ref
    assert json.loads(native.end(Message("BET", {}, ref)))["ref"] == ref
    assert json.loads(native.error(HandlerFault("No."), Message("BET", {}, ref)))["ref"] == ref


def test_a_reply_204_has_no_data():
    assert replied(None, 204) == {"type": "BET", "ref": 1, "status": 204}
    assert replied({"ignored": True}, 204) == {"type": "BET", "ref": 1, "status": 204}


def test_nothing_is_said_where_nothing_was_asked():
    assert native.reply(Message("BET", {}), None, 204, None) is None


def test_parts_have_status_206():
    expected = {"type": "COUNT", "ref": 1, "status": 206, "data": 5}
    assert json.loads(native.part(Message("COUNT", {}, 1), 5)) == expected
    expected = {"type": "COUNT", "status": 206, "data": None}
    assert json.loads(native.part(Message("COUNT", {}), None)) == expected


def test_the_end_of_a_stream_is_a_reply_without_data():
    end = native.end(Message("COUNT", {}, 1))
    assert json.loads(end) == {"type": "COUNT", "ref": 1, "status": 200}
    assert native.end(Message("COUNT", {})) is None


def test_an_error():
    error = SocketError("No.", status=403, errors=[{"text": "Too high.", "field": "bet"}])
    expected = {
        "type": "ERROR",
        "status": 403,
        "details": "No.",
        "errors": [{"text": "Too high.", "field": "bet"}],
        "success": False,
    }
    assert json.loads(native.error(error, None)) == expected
    assert json.loads(native.error(error, Message("BET", {}))) == expected
    assert json.loads(native.error(error, Message("BET", {}, "a"))) == {**expected, "ref": "a"}


def test_an_error_may_be_a_lazy_translation():
    error = SocketError(gettext_lazy("Yes"), errors=[gettext_lazy("No")])
    frame = json.loads(native.error(error, None))
    assert frame["details"] == "Yes"
    assert frame["errors"] == [{"text": "No"}]


def test_an_event_is_what_was_given():
    assert native.event({"type": "CHAT", "text": "h\xe9"}) == '{"type":"CHAT","text":"h\xe9"}'
    assert native.event([1, None, True]) == "[1,null,true]"


@pytest.mark.parametrize("content", [{"type": "CHAT", "text": "h\xe9"}, {}, [1, None, True], "a"])
def test_an_event_that_is_encoded_is_the_same_frame(content):
    assert native.event_of_json(encode_json(content)) == native.event(content)


@pytest.mark.parametrize("fields", [{}, {"text": "h\xe9"}, {"a": {"b": [1]}, "c": None}])
@pytest.mark.parametrize("type", ["CHAT", 'a "quoted" \n \xe9'])
def test_an_action_whose_fields_are_encoded_is_the_same_frame(type, fields):
    assert native.action_of_json(type, encode_json(fields)) == native.action(type, fields)


def test_a_format_that_encodes_otherwise_does_so_with_what_is_encoded_too():
    class Stamped(Native):
        def event(self, content):
            return super().event({**content, "TIMESTAMP": 1})

        def action(self, type, fields):
            return super().action(type, {**fields, "TIMESTAMP": 1})

    assert Stamped().event_of_json(b'{"a":0}') == '{"a":0,"TIMESTAMP":1}'
    assert Stamped().action_of_json("CHAT", b"{}") == '{"type":"CHAT","TIMESTAMP":1}'


def test_an_action_is_its_type_and_fields():
    assert json.loads(native.action("CHAT", {"text": "hi"})) == {"type": "CHAT", "text": "hi"}
    assert native.action("LEAVING", {}) == '{"type":"LEAVING"}'


def test_a_call_has_type_ref_and_data():
    expected = {"type": "CONFIRM", "ref": "s:1", "data": {"bet": 5}}
    assert json.loads(native.call("CONFIRM", "s:1", {"bet": 5})) == expected


def test_the_question_for_a_sign_of_life_is_a_ping():
    assert json.loads(native.ping()) == {"type": "PING"}


def test_a_protocol_knows_no_such_question_unless_it_says_so():
    assert Protocol().ping() is None


def test_frames_are_text():
    message = Message("BET", {}, 1)
    frames = [
        native.reply(message, 1, 200, None),
        native.part(message, 1),
        native.end(message),
        native.error(HandlerFault("No."), message),
        native.event({}),
        native.action("CHAT", {}),
        native.call("CONFIRM", "s:1", None),
        native.ping(),
    ]
    assert {type(frame) for frame in frames} == {str}


@pytest.mark.parametrize(
    "encode", [native.event, replied, lambda data: native.call("A", "s:1", data)]
)
def test_what_json_has_no_form_for_is_refused_wherever_it_is_sent(encode):
    for value, got in [(object(), "a builtins.object"), (float("nan"), "nan")]:
        with pytest.raises((TypeError, ValueError), match=f"got {got} at .*chips"):
            encode({"chips": value})


# Names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("on_say_hello", "SAY_HELLO"),
        ("say_hello", "SAY_HELLO"),
        ("on_on", "ON"),
        ("once", "ONCE"),
    ],
)
def test_the_key_of_a_function(name, key):
    assert native.key(name) == key


def test_in_a_protocol_without_a_rule_it_is_the_name_without_on():
    assert Protocol().key("on_say_hello") == "say_hello"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("decode", ["{}"]),
        ("reply", [Message("BET", {}), None, 200, None]),
        ("part", [Message("BET", {}), None]),
        ("end", [Message("BET", {})]),
        ("error", [HandlerFault("No."), None]),
        ("event", [{}]),
        ("action", ["CHAT", {}]),
        ("event_of_json", [b"{}"]),
        ("action_of_json", ["CHAT", b"{}"]),
        ("call", ["CONFIRM", "s:1", None]),
    ],
)
def test_a_protocol_has_every_method_to_write(method, arguments):
    assert hasattr(Native, method)
    with pytest.raises(NotImplementedError):
        getattr(Protocol(), method)(*arguments)
