"""Bad messages of every kind, mixed with good ones that look odd, and what has to come of each.

The tables fit `EVENTS` and `LABELS` (and `LATE_LABELS` for the labels topic) as they stand in a
settings file, with a binary classifier. Each has bounds, which make it a number, so that text is
refused whatever the model.
"""

import gzip
from typing import Any, NamedTuple

import orjson

EVENTS: dict[str, Any] = {
    "topic": "events",
    "id": "id",
    "features": ["a", "b", "c"],
    "timestamp": "at",
    "label": "label",
    "missing": "dead_letter",
    "bounds": {"a": [-1000, 1000], "b": [None, None], "c": [None, None]},
}
LABELS: dict[str, Any] = {"from": "event"}
LATE_LABELS: dict[str, Any] = {
    "from": "topic", "topic": "labels", "id": "id", "label": "label", "timestamp": "at",
    "wait": 60_000,
}  # fmt: skip

Headers = list[tuple[str, bytes | None]]
AT = 1_767_225_600_000
GOOD: dict[str, Any] = {"id": 1, "a": 0.5, "b": -2.0, "c": 3.25, "at": AT, "label": True}


class Message(NamedTuple):
    """A message, and what has to come of it."""

    name: str
    value: bytes | None
    expected: str | None
    """Reason of its dead letter, `skip` for a counted skip, None for a good message."""
    key: bytes | None = b"1"
    headers: Headers | None = None


def good(**changes: Any) -> bytes:
    """A good event with some fields changed."""
    return orjson.dumps({**GOOD, **changes})


def without(*names: str) -> bytes:
    """A good event with some fields left out."""
    return orjson.dumps({name: value for name, value in GOOD.items() if name not in names})


def raw(field: str, text: str) -> bytes:
    """A good event in which a field holds this text, be it JSON or not."""
    return good(**{field: "@"}).replace(b'"@"', text.encode())


def nested(depth: int) -> str:
    """Objects inside objects."""
    return '{"x":' * depth + "1" + "}" * depth


def _named(reason: str | None, messages: dict[str, bytes | None]) -> list[Message]:
    return [Message(name, value, reason) for name, value in messages.items()]


NOT_JSON: dict[str, bytes | None] = {
    "plain text": b"hello",
    "one byte that is no UTF-8": b"\xff",
    "bad UTF-8 in a text": raw("id", '"@x@"').replace(b"@x@", b"\xc3\x28"),
    "an overlong UTF-8 sequence": raw("id", '"@x@"').replace(b"@x@", b"\xc0\xaf"),
    "a surrogate in UTF-8": raw("id", '"@x@"').replace(b"@x@", b"\xed\xa0\x80"),
    "half of an escaped surrogate pair": raw("id", r'"\ud800"'),
    "UTF-16": good().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + good(),
    "a control character in a text": raw("id", '"a\x01b"'),
    "a zero byte at the end": good() + b"\0",
    "cut off in the middle": good()[:-7],
    "two documents": good() + b"\n" + good(),
    "a comma too many": good()[:-1] + b",}",
    "single quotes": good().replace(b'"', b"'"),
    "a comment": good() + b" // good",
    "names without quotes": good().replace(b'"', b""),
    "NaN": raw("a", "NaN"),
    "Infinity": raw("a", "Infinity"),
    "minus Infinity": raw("a", "-Infinity"),
    "1e400": raw("a", "1e400"),
    "-1e400": raw("a", "-1e400"),
    "an integer of 400 digits": raw("a", "1" + "0" * 399),
    "a number with a leading zero": raw("a", "01"),
    "a hexadecimal number": raw("a", "0x1f"),
    "Python's True": raw("label", "True"),
    "blanks alone": b" \n\t ",
    "arrays nested too deep": raw("a", "[" * 1100 + "]" * 1100),
    "objects nested too deep": good()[:-1] + b',"x":' + nested(1100).encode() + b"}",
    "gzip": gzip.compress(good(), mtime=0),
    "a schema registry's prefix": b"\0\0\0\0\x2a" + good(),
}  # fmt: skip

BAD_EVENTS: list[Message] = [
    *_named("not_json", NOT_JSON),
    Message("an empty value", b"", "empty"),
    Message("a tombstone", None, "skip"),
    Message("a tombstone without a key", None, "skip", key=None),
    *_named(
        "not_an_object",
        {
            "a bare null": b"null",
            "a bare boolean": b"true",
            "a bare number": b"3.5",
            "a bare text": b'"text"',
            "an array": b"[1,2,3]",
            "an event in an array": b"[" + good() + b"]",
            "an event as text": orjson.dumps(good().decode()),
        },
    ),
    *_named(
        "id",
        {
            "an empty object": b"{}",
            "no id": without("id"),
            "an id of null": good(id=None),
            "an empty id": good(id=""),
            "an id of true": good(id=True),
            "an id with a fraction": good(id=1.5),
            "an id as a float": raw("id", "1.0"),
            "an id beyond 64 bits": raw("id", "18446744073709551616"),
            "an id in a list": good(id=[1]),
            "an id as an object": good(id={"id": 1}),
            "an id of 1,001 characters": good(id="x" * 1001),
            "an id whose last repetition is null": raw("id", '1,"id":null'),
        },
    ),
    *_named(
        "timestamp",
        {
            "no timestamp": without("at"),
            "a timestamp of null": good(at=None),
            "a timestamp of true": good(at=True),
            "a timestamp in words": good(at="yesterday"),
            "an empty timestamp": good(at=""),
            "a timestamp as a number in a text": good(at=str(AT)),
            "a timestamp before 1970": good(at=-1),
            "a date before 1970": good(at="1969-12-31T23:59:59Z"),
            "a 30th of February": good(at="2026-02-30"),
            "a timestamp in nanoseconds": good(at=AT * 1_000_000),
            "a timestamp of 1e300": raw("at", "1e300"),
            "a timestamp in a list": good(at=[AT]),
        },
    ),
    *_named(
        "missing_feature",
        {
            "one feature missing": without("b"),
            "one feature null": good(c=None),
            "no features": without("a", "b", "c"),
            "a feature in other letters": without("a")[:-1] + b',"A":1}',
        },
    ),
    *_named(
        "feature_type",
        {
            "text as a feature": good(a="high"),
            "a number in a text": good(b="1.0"),
            "an empty text as a feature": good(c=""),
            "a list as a feature": good(a=[1.0]),
            "an empty list as a feature": good(b=[]),
            "an object as a feature": good(a={"value": 1.0}),
            "an empty object as a feature": good(c={}),
        },
    ),
    *_named(
        "feature_value",
        {
            "a feature of 1e101": raw("b", "1e101"),
            "a feature of -1e308": raw("c", "-1e308"),
            "a feature of 200 digits": raw("b", "9" * 200),
        },
    ),
    *_named(
        "bounds",
        {
            "a feature below its bounds": good(a=-1000.0001),
            "a feature above its bounds": good(a=1001),
            "a repeated feature whose last value is out of bounds": raw("a", '1,"a":5000'),
        },
    ),
    *_named("label_missing", {"no label": without("label"), "a label of null": good(label=None)}),
    *_named(
        "label_type",
        {
            "a label in words": good(label="yes"),
            "a boolean label as text": good(label="true"),
            "an empty label": good(label=""),
            "a label of 2": good(label=2),
            "a label of -1": good(label=-1),
            "a label with a fraction": good(label=0.5),
            "a label of 1.0": raw("label", "1.0"),
            "a label in a list": good(label=[True]),
            "a label as an object": good(label={"label": True}),
        },
    ),
]

ODD_EVENTS: list[Message] = [
    *_named(
        None,
        {
            "a plain one": good(),
            "whole numbers as features": good(a=1, b=-2, c=0),
            "booleans as features": good(a=True, b=False),
            "a label of 1": good(label=1),
            "a label of 0": good(label=0),
            "a repeated feature whose last value is good": raw("a", '5000,"a":1'),
            "unknown fields": good(x=1, y=[1, {"z": None}], z="text"),
            "an unknown field nested deep": good()[:-1] + b',"x":' + nested(1000).encode() + b"}",
            "an unknown field of 100,000 characters": good(x="x" * 100_000),
            "names written with escapes": good().replace(b'"a"', rb'"\u0061"'),
            "blanks and line ends": b" \n" + good().replace(b",", b" ,\r\n\t") + b"\n",
            "fields in another order": orjson.dumps(dict(reversed(GOOD.items()))),
            "an id as text": good(id="event 1"),
            "an id in other alphabets": good(id="事件-\U0001f41f-\u0301"),
            "an id with a zero byte": good(id="\0"),
            "an id of 1,000 characters": good(id="x" * 1000),
            "the largest id of 64 bits": good(id=2**64 - 1),
            "a negative id": good(id=-(2**63)),
            "an integer beyond 64 bits as a feature": raw("b", "18446744073709551616"),
            "a feature of 1e100": raw("b", "1e100"),
            "a feature below the smallest float": raw("a", "1e-400"),
            "minus zero": raw("a", "-0.0"),
            "features on their bounds": good(a=1000),
            "a timestamp of 0": good(at=0),
            "a timestamp with a fraction": good(at=AT + 0.5),
            "a timestamp in ISO 8601": good(at="2026-01-01T00:00:00.250Z"),
            "a timestamp with an offset": good(at="2026-01-01T01:00:00+01:00"),
            "a timestamp without a zone": good(at="2026-01-01 00:00:00"),
            "a timestamp from 2099": good(at="2099-01-01"),
        },
    ),
    Message("without a key", good(), None, key=None),
    Message("an empty key", good(), None, key=b""),
    Message("a key that is no text", good(), None, key=b"\xff\x00\xfe"),
    Message("a header without a value", good(), None, headers=[("trace", None)]),
    Message("a header that is no text", good(), None, headers=[("trace", b"\xff\x00")]),
    Message("a header that stands twice", good(), None, headers=[("t", b"1"), ("t", b"2")]),
    Message("a header with an empty name", good(), None, headers=[("", b"1")]),
    Message("a header of ours", good(), None, headers=[("millstream-reason", b"forged")]),
]

EVENT_MESSAGES = [*BAD_EVENTS, *ODD_EVENTS]


def label(identity: Any = 1, *, value: Any = True, at: Any = AT, **more: Any) -> bytes:
    """A message of the labels topic."""
    return orjson.dumps({"id": identity, "label": value, "at": at, **more})


LABEL_MESSAGES: list[Message] = [
    *_named(
        "not_json",
        {
            "plain text": b"hello",
            "bad UTF-8": b'{"id": "\xff", "label": true}',
            "a label of NaN": b'{"id": 1, "label": NaN}',
            "nested too deep": b'{"id": 1, "label": ' + nested(1100).encode() + b"}",
        },
    ),
    Message("an empty value", b"", "empty"),
    Message("a tombstone", None, "skip"),
    *_named("not_an_object", {"a bare label": b"true", "an array": b"[1, true]"}),
    *_named(
        "id",
        {
            "no id": b'{"label": true}',
            "an id of null": label(None),
            "an empty id": label(""),
            "an id with a fraction": label(1.5),
            "an id in a list": label([1]),
        },
    ),
    *_named(
        "timestamp",
        {
            "no timestamp": b'{"id": 1, "label": true}',
            "a timestamp in words": label(at="soon"),
            "a timestamp before 1970": label(at=-1),
        },
    ),
    *_named("label_missing", {"no label": b'{"id": 1, "at": 1}', "null": label(value=None)}),
    *_named(
        "label_type",
        {
            "a label in words": label(value="yes"),
            "a label of 2": label(value=2),
            "a label of 0.0": label(value=0.0),
            "a label in a list": label(value=[]),
            "a label as an object": label(value={}),
        },
    ),
    *_named(
        None,
        {
            "a plain one": label(),
            "a label of 0": label(value=0),
            "an id as text": label("one"),
            "more fields": label(by="someone"),
            "a label that stands twice": b'{"id": 1, "label": "x", "at": 1, "label": false}',
        },
    ),
]
