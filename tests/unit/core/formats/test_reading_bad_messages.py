"""Whatever bytes come in: an event, a label, or a dead letter with its reason."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.core.formats.labels import LabelMessage
from millstream.core.records.event import Event
from millstream.core.records.record import REASONS
from millstream.errors import DeadLetter
from tests.support.bad_messages import (
    BAD_EVENTS,
    EVENT_MESSAGES,
    EVENTS,
    GOOD,
    LABEL_MESSAGES,
    LABELS,
    LATE_LABELS,
    Message,
    nested,
)
from tests.support.readers import MULTICLASS, REGRESSOR, SKLEARN, event_reader, label_reader

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {"a": {"type": "number", "minimum": -5}, "x": {"$ref": "#"}},
}
EVENT_READERS = [
    event_reader(**{**EVENTS, "labels": LABELS}),
    event_reader(features="all"),
    event_reader(features={"all_but": ["x.y"]}, label="label.value", timestamp="at"),
    event_reader(features=["a.b", "c"], missing="allow", unknown="dead_letter"),
    event_reader(SKLEARN, features="all", label="label"),
    event_reader(
        REGRESSOR, features="all", label="label", labels={"from": "event", "values": {"x": 1}}
    ),
    event_reader(MULTICLASS, schema=SCHEMA, label="label", classes=("x", 1)),
]
LABEL_READERS = [
    label_reader(**LATE_LABELS),
    label_reader(MULTICLASS, id="key.id", label="value.label", classes=(True, "x")),
    label_reader(REGRESSOR, values={"None": 1.5}),
]


def reason_of(read: Callable[[bytes], Any], value: bytes) -> str | None:
    """Why a message is a dead letter; None where it is read."""
    try:
        read(value)
    except DeadLetter as bad:
        return bad.reason
    return None


@pytest.mark.parametrize("message", EVENT_MESSAGES, ids=lambda message: message.name)
def test_each_kind_of_event_comes_to_what_the_table_says(message: Message) -> None:
    if message.value is not None:
        assert reason_of(EVENT_READERS[0].read, message.value) == message.expected
    else:
        assert message.expected == "skip"


@pytest.mark.parametrize("message", LABEL_MESSAGES, ids=lambda message: message.name)
def test_each_kind_of_label_message_comes_to_what_the_table_says(message: Message) -> None:
    if message.value is not None:
        assert reason_of(LABEL_READERS[0].read, message.value) == message.expected
    else:
        assert message.expected == "skip"


def test_the_tables_are_as_wide_as_promised_and_name_each_message_once() -> None:
    assert len({message.name for message in BAD_EVENTS}) == len(BAD_EVENTS) >= 45
    assert len({message.name for message in EVENT_MESSAGES}) == len(EVENT_MESSAGES)
    reasons = {message.expected for message in BAD_EVENTS} - {"skip"}
    assert reasons < set(REASONS)


@pytest.mark.parametrize("message", BAD_EVENTS, ids=lambda message: message.name)
def test_the_detail_of_a_dead_letter_holds_no_value_of_the_payload(message: Message) -> None:
    if message.value is None:
        return
    with pytest.raises(DeadLetter) as bad:
        EVENT_READERS[0].read(message.value)
    for value in ("high", "yes", "5000", "yesterday", "1e101", "1001", "-1000.0001"):
        assert value not in bad.value.detail
    assert "\n" not in bad.value.detail


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "y", "value", "id"]), below, max_size=3)
    ),
    max_leaves=6,
)
documents = st.dictionaries(
    st.sampled_from(["id", "a", "b", "c", "a.b", "x", "at", "label", "key", "value"]),
    json_values,
    max_size=8,
)
messages = st.one_of(
    st.binary(max_size=60),
    documents.map(orjson.dumps),
    st.builds(lambda change: orjson.dumps({**GOOD, **change}), documents),
    st.builds(
        lambda at, text: orjson.dumps(GOOD)[:at] + text + orjson.dumps(GOOD)[at:],
        st.integers(0, len(orjson.dumps(GOOD))),
        st.binary(max_size=4),
    ),
)


@given(messages)
@example(b'{"id":1,"a":' + nested(1000).encode() + b"}")
@example(b'{"id":1,"x":' + nested(1000).encode() + b"}")
@example(b'{"id":1,"a":' + b"[" * 1000 + b"]" * 1000 + b"}")
@example(b'{"id":1,"label":' + b"[" * 1000 + b"]" * 1000 + b',"a":1,"b":1}')
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_an_event_or_a_dead_letter_and_never_another_error(value: bytes) -> None:
    reasons = set()
    for reader in EVENT_READERS:
        try:
            event = reader.read(value)
        except DeadLetter as bad:
            reasons.add(bad.reason)
        else:
            assert type(event) is Event
            assert event.features
            # What was read has to be writable again.
            orjson.dumps([event.id, event.features, event.label, event.time])
    assert reasons <= set(REASONS)


@given(st.text(alphabet="0123456789-+:.TZW \u0661é", max_size=30))
@settings(deadline=None)
def test_any_text_is_a_time_or_a_dead_letter(text: str) -> None:
    for reader in (EVENT_READERS[2], LABEL_READERS[0]):
        value = orjson.dumps({**GOOD, "label": {"value": True}, "at": text})
        assert reason_of(reader.read, value) in {None, *REASONS}


@given(messages)
@example(b'{"id":1,"at":1,"label":' + nested(1000).encode() + b"}")
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_label_or_a_dead_letter_and_never_another_error(value: bytes) -> None:
    reasons = set()
    for reader in LABEL_READERS:
        try:
            label = reader.read(value)
        except DeadLetter as bad:
            reasons.add(bad.reason)
        else:
            assert type(label) is LabelMessage
            orjson.dumps(tuple(label))
    assert reasons <= set(REASONS)
