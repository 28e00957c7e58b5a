"""Maps a row of a source to an event and, where labels are delayed, to a label message."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

import orjson

from millstream.config.settings import Settings
from millstream.core.formats.json_fields import MISSING
from millstream.core.spec import AllBut
from millstream.errors import Stop
from millstream.sources.readers import INTEGERS, Row

_PER_MS = {"s": 1e-3, "ms": 1, "us": 1_000, "ns": 1_000_000}


class MappedEvent(NamedTuple):
    """An event, and the label that follows it."""

    key: bytes
    event: dict[str, Any]
    label: dict[str, Any] | None


class EventMapper:
    """Maps fields to the paths in the settings."""

    def __init__(self, settings: Settings, key: str | None = None, first_id: int = 1) -> None:
        """`key`: path of the field to use as message key, the id if None; `first_id`: see `ids`."""
        events, labels = settings.events, settings.labels
        self._events, self._labels = events, labels
        self._key = key
        self._records = 0
        self._first_id = first_id
        self.ids: tuple[int, int] | None = None
        """First and last running number that was given as an id; None: every record had its own.

        The number of a record is its place in the source, from `first_id` on.
        """
        paths: list[str | None] = [events.id, events.timestamp, events.label]
        if isinstance(events.features, tuple):
            paths += events.features
        elif isinstance(events.features, AllBut):
            paths += events.features.all_but
        if labels.source == "topic":
            self._label_id = labels.id_path(events)
            self._label = labels.label_path
            paths.append(self._label)
        self._paths = paths_by_column(paths)

    def is_id(self, column: str) -> bool:
        """Whether a column holds the id, or the key."""
        return self._paths.get(column, column) in {self._events.id, self._key}

    def message(self, row: Row) -> MappedEvent:
        """Event and label of a row; raises Stop if it has no key."""
        event = self.nested(row.fields) if row.flat else row.fields
        self._records += 1
        identity = self._identify(event)
        key = get(event, self._key) if self._key else identity
        if key is MISSING or key is None:
            what = self._key or self._events.id
            raise Stop(f"record {self._records} has no value at {what}, which is to be its key")
        label = row.label
        if self._labels.source == "topic":
            if label is None:
                label = take(event, self._label)
            if label is MISSING or label is None:
                return MappedEvent(key_of(key), event, None)
            answer: dict[str, Any] = {}
            put(answer, self._label_id, identity)
            put(answer, self._label, label)
            return MappedEvent(key_of(key), event, answer)
        if label is not None and self._events.label:
            put(event, self._events.label, label)
        return MappedEvent(key_of(key), event, None)

    def as_it_is(self, event: dict[str, Any]) -> MappedEvent:
        """An event with all its fields, its label too; the key is empty if its id is null."""
        self._records += 1
        identity = self._identify(event)
        return MappedEvent(b"" if identity is None else key_of(identity), event, None)

    def stamp(self, message: MappedEvent, event_ms: int) -> None:
        """Write an event's time where the settings map one and the source has none."""
        path = self._events.timestamp
        if path and get(message.event, path) is MISSING:
            put(message.event, path, round(event_ms * _PER_MS[self._events.timestamp_unit]))

    def stamp_label(self, label: dict[str, Any], label_ms: int) -> None:
        """Write a label's time where the settings map one."""
        if self._labels.timestamp:
            put(
                label,
                self._labels.timestamp,
                round(label_ms * _PER_MS[self._labels.timestamp_unit]),
            )

    def nested(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns at the paths that the settings name."""
        return nested(columns, self._paths)

    def _identify(self, event: dict[str, Any]) -> Any:
        """Id of an event; a running number where the source has none.

        One that is too large an integer for JSON's readers becomes text, by which ids are compared.
        """
        path = self._events.id
        number = self._first_id + self._records - 1
        if path is None:
            return number
        identity = get(event, path)
        if identity is MISSING:
            first, _ = self.ids or (number, number)
            self.ids = (first, number)
            identity = number
            put(event, path, identity)
        elif type(identity) is int and identity not in INTEGERS:
            identity = str(identity)
            put(event, path, identity)
        return identity


def paths_by_column(paths: Iterable[str | None]) -> dict[str, str]:
    """Path by column; a column may be named by the whole path or by its end, if that is one."""
    named = [path for path in paths if path]
    ends: dict[str, set[str]] = {}
    for path in named:
        ends.setdefault(path.rpartition(".")[2], set()).add(path)
    unique = {end: found.pop() for end, found in ends.items() if len(found) == 1}
    return unique | {path: path for path in named}


def nested(columns: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Columns that hold something, each at its path, or under its name where it has none."""
    fields: dict[str, Any] = {}
    for column, value in columns.items():
        if value is not None:
            put(fields, paths.get(column, column), value)
    return fields


def encode(value: dict[str, Any]) -> bytes:
    """JSON of a message; dates become ISO 8601 text. Raises Stop where JSON cannot hold it."""
    try:
        try:
            return _dump(value)
        except TypeError as error:
            if "64-bit" not in str(error):
                raise
            # What any reader without big integers would make of them.
            return _dump(_rounded(value))
    except (TypeError, RecursionError, OverflowError) as error:
        if "ecursion" in str(error):
            raise Stop("a record is nested deeper than 254 levels: make it flatter") from error
        reason = error.__cause__ or error
        raise Stop(f"a record cannot be written as JSON: {reason}") from error


def _dump(value: Any) -> bytes:
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(value, default=_plain, option=option)


def _rounded(value: Any) -> Any:
    """The same with integers beyond 64 bits as floats."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(value) if type(value) is int and value not in INTEGERS else value


def get(fields: Mapping[str, Any], path: str) -> Any:
    """Value at a path, or `MISSING`."""
    value: Any = fields
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def put(fields: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path; raises Stop where the path leads through something else."""
    *parents, last = path.split(".")
    for name in parents:
        fields = fields.setdefault(name, {})
        if not isinstance(fields, dict):
            raise Stop(f"cannot set {path}: {name} is there already and no object")
    fields[last] = value


def take(fields: dict[str, Any], path: str) -> Any:
    """Remove and return the value at a path, or return `MISSING`."""
    parent, _, last = path.rpartition(".")
    owner = get(fields, parent) if parent else fields
    return owner.pop(last, MISSING) if isinstance(owner, dict) else MISSING


def key_of(key: Any) -> bytes:
    """An id, or a field's value, as the key of a message. Raises Stop where it cannot be one."""
    if type(key) is int:  # of any size
        return str(key).encode()
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        return encode(key)
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise Stop("a key, or the id that is one, is text that UTF-8 cannot write") from error


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
