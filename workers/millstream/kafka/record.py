"""Conversion of consumed Kafka messages into the core's records."""

from collections.abc import Callable
from typing import Any

from millstream.core.records.record import UNREADABLE_HEADERS, Headers, Record


def to_record(message: Any, make: Callable[..., Record] = tuple.__new__) -> Record:
    """Convert a consumed message; its headers may be unreadable, which the core rejects.

    `make` is the constructor of tuples: that of a named tuple costs three times as much.
    """
    headers: Headers | None
    try:
        headers = message.headers()
    except UnicodeDecodeError:
        headers = UNREADABLE_HEADERS
    return make(
        Record,
        (message.offset(), message.timestamp()[1], message.key(), message.value(), headers),
    )
