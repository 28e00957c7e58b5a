"""The records that a processor writes: predictions, examples, dead letters, control records."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from millstream.core.models.interface.learner import Answer
from millstream.core.records.event import Event
from millstream.core.records.record import REASONS, Headers, Output, Record
from millstream.errors import DeadLetter

# Probabilities have the classes as keys (False and True, or numbers); some models answer with
# numpy's numbers.
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
# What Kafka adds to a message's bytes, generously: its own limit counts the encoded batch.
_OVERHEAD: Final = 512
# No topic takes less than this, whatever its `max.message.bytes` (the smallest that we accept).
SMALL_BYTES: Final = 8_192
# What an example holds besides the features, transformed features and answer of its prediction,
# generously: a prediction is only published if its example will fit into a message as well.
EXAMPLE_ROOM: Final = 8_192


def encode(document: dict[str, Any]) -> bytes:
    """JSON bytes; keeps the order of keys, because the order of features is part of arithmetic."""
    return orjson.dumps(document, option=_OPTIONS)


def encode_answer(document: dict[str, Any]) -> bytes:
    """As `encode`, of what a model answered; raises `DeadLetter` where that cannot be written."""
    try:
        return orjson.dumps(document, option=_OPTIONS)
    except TypeError as error:
        raise DeadLetter("predict_error", f"the answer cannot be written: {error}") from error


# The constructor of a named tuple costs three times as much, for each prediction.
_new_tuple: Callable[..., Any] = tuple.__new__


@dataclass(frozen=True, slots=True)
class PartitionSource:
    """The inputs of a partition and its model, as its outputs name them."""

    partition: int
    events: str
    labels: str | None
    model_name: str
    model_version: str
    max_bytes: int
    """Largest message that may be written."""
    features: bool
    """Whether predictions carry the features."""


def prediction(
    source: PartitionSource,
    record: Record,
    event: Event,
    answer: Answer,
    learned: int,
    event_time: int,
    now: int,
) -> Output:
    """The prediction on one event.

    `learned`: how many examples the model had learned; `event_time`: message time of the event,
    ms; `now`: the worker's clock, ms. Raises `DeadLetter` where the answer cannot be written, or
    only as too large a message.
    """
    identity, offset = event.id, record.offset
    document: dict[str, Any] = {
        "id": f"{source.events}-{source.partition}-{offset}" if identity is None else identity,
        **answer,
        "model": {"name": source.model_name, "version": source.model_version, "learned": learned},
        "event_time": event_time,
        "predicted_at": now,
        "source": {"topic": source.events, "partition": source.partition, "offset": offset},
    }
    if source.features:
        document["features"] = event.features
    value = encode_answer(document)
    # Only what is large in some part is worth adding up.
    if record.headers or len(value) + len(record.key or b"") > SMALL_BYTES:
        _check_size(source, record, value)
    output: Output = _new_tuple(Output, (record.key, value, record.headers))
    return output


def late_prediction(
    source: PartitionSource,
    record: Record,
    identity: str | int,
    example: bytes,
    learned: int,
    event_time: int,
    now: int,
    fields: dict[str, Any],
) -> Output:
    """As `prediction`, on one event whose label is to come later.

    `example`: JSON of the features and the answer, as the example will have them; `fields`: what
    the prediction has besides.
    """
    document: dict[str, Any] = {
        "id": identity,
        "model": {"name": source.model_name, "version": source.model_version, "learned": learned},
        "event_time": event_time,
        "predicted_at": now,
        "source": {
            "topic": source.events,
            "partition": source.partition,
            "offset": record.offset,
        },
        **fields,
    }
    value = join(encode(document), example)
    _check_size(source, record, value, EXAMPLE_ROOM)
    output: Output = _new_tuple(Output, (record.key, value, record.headers))
    return output


def join(document: bytes, other: bytes) -> bytes:
    """One JSON object of two that are not empty and have no key in common."""
    return b"".join((document[:-1], b",", other[1:]))


def _check_size(source: PartitionSource, record: Record, value: bytes, room: int = 0) -> None:
    """Raise `DeadLetter` for a message that is too large, or leaves less than `room` bytes."""
    if len(value) + size_besides_value(record.key, record.headers) + room > source.max_bytes:
        raise DeadLetter("too_large", f"{len(value)} bytes")


def size_besides_value(key: bytes | None, headers: Headers | None) -> int:
    """Bytes that a message needs around its value."""
    size = _OVERHEAD + len(key or b"")
    for name, value in headers or ():
        size += len(name) + len(value or b"") + 16
    return size


def stage_of(bad: DeadLetter) -> str:
    """The stage at which a dead letter failed."""
    return REASONS[bad.reason][0]


def dead_letter(
    source: PartitionSource, side_topic: str, record: Record, bad: DeadLetter
) -> Output:
    """The original message, with headers that say what failed, where, and why.

    A message may be too large for the dead-letters topic. Then its value is cut, or else its own
    headers, or else its key are left out, and a header says so: the source position leads to the
    whole of it.
    """
    ours: Headers = [
        ("millstream-stage", stage_of(bad).encode()),
        ("millstream-reason", bad.reason.encode()),
        ("millstream-detail", bad.detail[:500].encode(errors="replace")),
        ("millstream-topic", side_topic.encode()),
        ("millstream-partition", str(source.partition).encode()),
        ("millstream-offset", str(record.offset).encode()),
        ("millstream-timestamp", str(record.timestamp).encode()),
        ("millstream-model-version", source.model_version.encode()),
    ]
    key, value = record.key, record.value
    headers = [*(record.headers or ()), *ours]
    if size_besides_value(key, headers) + len(value or b"") <= source.max_bytes:
        return Output(key, value, headers)
    ours.append(("millstream-truncated", str(len(value or b"")).encode()))
    headers = [*(record.headers or ()), *ours]
    if size_besides_value(key, headers) > source.max_bytes:
        headers = ours
    if size_besides_value(key, headers) > source.max_bytes:
        key = None
    room = source.max_bytes - size_besides_value(key, headers)
    return Output(key, None if value is None else value[:room], headers)


def pack_message(record: Record) -> dict[str, Any]:
    """A message inside a JSON record, for a label that is held until its event comes."""
    return {
        "timestamp": record.timestamp,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, _text(value)] for name, value in record.headers or ()],
    }


def unpack_message(offset: int, packed: dict[str, Any]) -> Record:
    """The message that `pack_message` put away."""
    headers = [(name, _bytes(value)) for name, value in packed["headers"]]
    return Record(
        offset, packed["timestamp"], _bytes(packed["key"]), _bytes(packed["value"]), headers or None
    )


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def settings_note(partition: int, start: int, version: str, settings: dict[str, Any]) -> Output:
    """The record of settings that apply from offset `start` of events on."""
    note = {
        "kind": "settings",
        "partition": partition,
        "from": start,
        "version": version,
        "settings": settings,
    }
    return Output(f"{partition}/settings/{start}".encode(), encode(note), None)


def rebuilt_note(
    partition: int, start: int, version: str, settings: dict[str, Any], rebuilt: dict[str, Any]
) -> Output:
    """The record of a rebuild (`settings_history.Rebuilt`); else as `settings_note`."""
    note = {
        "kind": "rebuilt",
        "partition": partition,
        "from": start,
        "version": version,
        "settings": settings,
        "rebuilt": rebuilt,
    }
    return Output(f"{partition}/rebuilt".encode(), encode(note), None)


def topics_note(partition: int, partitions: int, ids: dict[str, str]) -> Output:
    """The topics that this state belongs to: how many partitions they have, and topic to id."""
    note = {"kind": "topics", "partition": partition, "partitions": partitions, "ids": ids}
    return Output(f"{partition}/topics".encode(), encode(note), None)


def skip_note(partition: int, offset: int, bad: DeadLetter, side: str = "events") -> Output:
    """The record at `offset` is left out of the fold, though its bytes alone would not say so.

    `side`: `events`, `labels`, or `examples`, by the offset of the event.
    """
    return Output(
        f"{partition}/skip/{side}/{offset}".encode(),
        encode(
            {
                "kind": "skip",
                "partition": partition,
                "side": side,
                "offset": offset,
                "reason": bad.reason,
                "detail": bad.detail,
            }
        ),
        None,
    )


def owner_record(owner: int, after: int, now: int) -> Output:
    """A claim of a new owner; see `OwnershipHistory` for when it counts (at least once only)."""
    claim = {"kind": "owner", "owner": owner, "after": after, "time": now, "written_at": now}
    return Output(None, encode(claim), None)
