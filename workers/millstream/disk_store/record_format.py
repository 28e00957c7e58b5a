"""The binary form of pending predictions and completed ids."""

from collections.abc import Callable
from struct import Struct
from typing import Any

from millstream.core.join.pending_store import CompletedId, Oldest, PendingPrediction

_HEAD = Struct("<BBqqqII")
"""Kind; flag; offset, time and predicted_at of a prediction, or number, time and at of a completed
id; bytes of the id; bytes of the key and one more (0: there is none)."""
_NAME_AT = _HEAD.size
_NAME_SIZE, _NAME_SIZE_AT = Struct("<I"), _NAME_AT - 8
IS_PENDING, IS_COMPLETED = 0, 1
# The constructor of a named tuple costs three times as much, for each label.
_new_tuple: Callable[..., Any] = tuple.__new__


def pack(name: bytes, pending: PendingPrediction) -> bytes:
    """A pending prediction as bytes."""
    identity, offset, time, predicted_at, key, example = pending
    number, size = isinstance(identity, int), 0 if key is None else len(key) + 1
    head = _HEAD.pack(IS_PENDING, number, offset, time, predicted_at, len(name), size)
    return b"".join((head, name, key or b"", example))


def unpack(record: bytes) -> PendingPrediction:
    """The pending prediction in its bytes."""
    _, number, offset, time, predicted_at, name_size, key_size = _HEAD.unpack_from(record)
    at = _NAME_AT + name_size
    name = record[_NAME_AT:at].decode("utf-8", "surrogatepass")
    key = None
    if key_size:
        key = record[at : at + key_size - 1]
        at += key_size - 1
    identity = int(name) if number else name
    fields = (identity, offset, time, predicted_at, key, record[at:])
    pending: PendingPrediction = _new_tuple(PendingPrediction, fields)
    return pending


def unpack_head(record: bytes) -> Oldest:
    """A pending prediction without its features."""
    _, number, offset, time, predicted_at, _, _ = _HEAD.unpack_from(record)
    name = name_in(record).decode("utf-8", "surrogatepass")
    return Oldest(int(name) if number else name, offset, max(time, predicted_at))


def pack_completed(name: bytes, number: int, completed: CompletedId) -> bytes:
    """An id that was completed as the `number`th, as bytes."""
    head = _HEAD.pack(
        IS_COMPLETED, completed.expired, number, completed.time, completed.at, len(name), 0
    )
    return head + name


def unpack_completed(record: bytes) -> CompletedId:
    """The completed id in its bytes."""
    _, expired, _, time, at, _, _ = _HEAD.unpack_from(record)
    return CompletedId(time, at, bool(expired))


def number_in(record: bytes) -> int:
    """Offset of a prediction, number of a completed id."""
    number: int = _HEAD.unpack_from(record)[2]
    return number


def name_in(record: bytes) -> bytes:
    """The id in a record of either kind, as UTF-8."""
    return record[_NAME_AT : _NAME_AT + _HEAD.unpack_from(record)[5]]


def is_of(record: bytes, name: bytes) -> bool:
    """Whether a record of either kind has this id, given as UTF-8."""
    (size,) = _NAME_SIZE.unpack_from(record, _NAME_SIZE_AT)
    return size == len(name) and record.startswith(name, _NAME_AT)


def to_bytes(name: str) -> bytes:
    """An id as UTF-8, lone surrogates included, which JSON lets through."""
    try:
        return name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
