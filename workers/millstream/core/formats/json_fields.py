"""Fields of a JSON message: decoding, paths, and the rules for ids and times."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from millstream.errors import DeadLetter

MISSING: Final = object()
"""What a path answers that leads nowhere."""

MAX_TEXT: Final = 1_000
"""Longest id, and longest label, in characters: both are kept in memory and in later records."""
MAX_TIME_MS: Final = 253_402_300_800_000
"""The year 10,000, where ISO 8601 as we read it ends."""
_PER_MS: Final = {"s": 1_000.0, "ms": 1.0, "us": 0.001, "ns": 0.000_001}

Document = dict[str, Any]
Getter = Callable[[Document], Any]


def decode(value: bytes) -> Document:
    """The JSON object in a message. Where a key stands twice, the last one counts.

    Raises `DeadLetter`: `empty`, `not_json` (NaN, 1e400, bad UTF-8 and nesting beyond 1,024 levels
    among it), `not_an_object`.
    """
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if not value:
            raise DeadLetter("empty") from error
        # The parser's message may quote the payload; the position does not.
        raise DeadLetter("not_json", f"at character {error.pos}") from error
    if type(document) is not dict:
        raise DeadLetter("not_an_object", f"a JSON {type(document).__name__}")
    return document


def getter(path: str) -> Getter:
    """A function that follows a dotted path through nested objects; `MISSING` where it ends."""
    first, *rest = path.split(".")
    if not rest:
        return lambda document: document.get(first, MISSING)

    def follow(document: Document) -> Any:
        value = document.get(first, MISSING)
        for name in rest:
            if type(value) is not dict:
                return MISSING
            value = value.get(name, MISSING)
        return value

    return follow


def root(path: str) -> str:
    """The top-level field that a path begins with."""
    return path.split(".", 1)[0]


def check_id(value: Any, path: str) -> str | int:
    """An id as it came; raises `DeadLetter("id")` unless it is text or an integer."""
    if type(value) is int or (type(value) is str and 0 < len(value) <= MAX_TEXT):
        return value
    if value is MISSING:
        raise DeadLetter("id", f"{path} is missing")
    if type(value) is str:
        raise DeadLetter("id", f"{path} is empty or longer than {MAX_TEXT} characters")
    raise DeadLetter("id", f"{path} is neither text nor an integer")


def time_reader(path: str, unit: str) -> Getter:
    """A function that reads a time as whole milliseconds since 1970; raises `DeadLetter`."""
    get, per_ms = getter(path), _PER_MS[unit]

    def read(document: Document) -> int:
        value = get(document)
        try:
            if type(value) is str:
                moment = datetime.fromisoformat(value)
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=UTC)
                milliseconds = round(moment.timestamp() * 1_000)
            elif type(value) is int or type(value) is float:
                milliseconds = round(value * per_ms)
            else:
                raise DeadLetter("timestamp", f"{path} is missing or neither number nor text")
        except (ValueError, OverflowError) as error:
            raise DeadLetter("timestamp", f"{path} cannot be read") from error
        if not 0 <= milliseconds < MAX_TIME_MS:
            raise DeadLetter("timestamp", f"{path} lies before 1970 or after 9999")
        return milliseconds

    return read
