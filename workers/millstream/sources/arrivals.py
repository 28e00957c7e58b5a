"""When records come that were recorded: events and labels in the order in which they would arrive.

No clock is asked. A record comes at the time that the settings map; without one, a millisecond
after the record before.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from heapq import merge
from os import PathLike, fspath
from typing import Any, Final, NamedTuple

from millstream.config.settings import Settings
from millstream.core.formats.json_fields import Getter, time_reader
from millstream.core.records.record import InputName
from millstream.errors import DeadLetter, SettingsError, Stop
from millstream.sources.event_mapping import EventMapper, MappedEvent, encode, get, key_of
from millstream.sources.readers import Row, open_source

BEGIN_MS: Final = 946_684_800_000
"""The first day of 2000: when the first record comes, where records tell no time."""

Source = str | PathLike[str] | Iterable[Mapping[str, Any] | tuple[Mapping[str, Any], Any]]
"""What `millstream send` takes (a .csv or .jsonl file, `river:Phishing`), dicts, or pairs of
features and label, as River's data sets give them."""


class TimedMessage(NamedTuple):
    """A message, and when it comes."""

    side: InputName
    key: bytes
    value: bytes | None
    at: int
    """Milliseconds since 1970."""


class ReplayClock:
    """The time that records tell; it never goes back."""

    def __init__(self, settings: Settings) -> None:
        self.now: int | None = None
        """When the last record came; None before the first."""
        self._readers: dict[InputName, Getter] = {}
        events, labels = settings.events, settings.labels
        if events.timestamp:
            self._readers["events"] = time_reader(events.timestamp, events.timestamp_unit)
        if labels.timestamp:
            self._readers["labels"] = time_reader(labels.timestamp, labels.timestamp_unit)

    def tells(self, side: InputName) -> bool:
        """Whether the settings map a time."""
        return side in self._readers

    def told(self, side: InputName, document: dict[str, Any]) -> int | None:
        """The time in a message, ms; None where there is none to read."""
        reader = self._readers.get(side)
        try:
            return None if reader is None else reader(document)
        except DeadLetter:
            return None

    def next(self, told: int | None) -> int:
        """When a record comes that tells this time."""
        if self.now is None:
            return BEGIN_MS if told is None else told
        return self.now + 1 if told is None else max(told, self.now)

    def take(self, told: int | None) -> int:
        """As `next`, and it has come."""
        self.now = self.next(told)
        return self.now


def require_json(settings: Settings, side: InputName) -> None:
    """Raise `SettingsError` where fields cannot be made a message, as a codec reads those."""
    codec = settings.events.codec if side == "events" else settings.labels.codec
    if codec is not None:
        raise SettingsError(
            f"{side}.codec is {codec}, which says how to read a message and not how to write one: "
            "give messages as bytes"
        )


def rows(source: Source, mapper: EventMapper) -> Iterator[Row]:
    """The records of a source. Raises Stop where it cannot be read."""
    if isinstance(source, str | PathLike):
        with open_source(fspath(source), mapper.is_id) as opened:
            yield from opened.rows
        return
    if isinstance(source, Mapping | bytes) or not isinstance(source, Iterable):
        raise Stop(
            "a source is a file, or an iterable of dicts or of pairs of features and label, and "
            f"no {type(source).__name__}: put a single one into a list"
        )
    for number, each in enumerate(source, 1):
        match each:
            case (Mapping() as features, label) if isinstance(each, tuple):
                yield Row(dict(features), label, flat=True)
            case Mapping():
                yield Row(copied(each), None, flat=False)  # the mapper moves fields about
            case _:
                raise Stop(
                    f"record {number} is a {type(each).__name__}, and neither a dict nor a pair of "
                    'features and label; of a pandas table, give df.to_dict("records")'
                )


def copied(event: object) -> dict[str, Any]:
    """The fields of an event, which may be written into. Raises Stop where it has none."""
    if not isinstance(event, Mapping):
        raise Stop(f"an event is a dict of its fields, or bytes, and no {type(event).__name__}")
    return deepcopy(dict(event))


def refuse_both(labels: Source | None, after: object, delay: object) -> None:
    """Raise `SettingsError` where labels have a source of their own, and come after events too."""
    if labels is not None and not (after is None and delay is None):
        raise SettingsError(
            "labels have a source of their own, whose times say when they come: leave out how long "
            "after their events they do"
        )


def delayed(
    settings: Settings,
    events: Source,
    clock: ReplayClock,
    *,
    key: str | None = None,
    after: int | None = None,
    delay: int | None = None,
    truth: str | None = None,
) -> Iterator[TimedMessage]:
    """Events, and their labels so many events, or milliseconds, after each; neither: without.

    `key`: path of the field that is the key; None: the id. `truth`: where to put a label that no
    setting names, if a data set has one.
    """
    if (after is not None or delay is not None) and settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings, so no labels come later: "
            "leave out when they come, or set labels.from: topic"
        )
    require_json(settings, "events")
    if after is not None or delay is not None:
        require_json(settings, "labels")
    if after is not None and delay is not None:
        raise SettingsError("labels come so many events or so long after their own, not both")
    if after is not None and after < 0:
        raise SettingsError(
            f"labels cannot come {after} events after their own: 0 is right behind it, and labels "
            "before their events are given by themselves, with times"
        )
    mapper = EventMapper(settings, key)
    waiting: deque[tuple[int, MappedEvent]] = deque()
    for count, row in enumerate(rows(events, mapper)):
        if truth is not None and row.label is not None:
            row.fields[truth] = row.label
        message = mapper.message(row)
        told = clock.told("events", message.event)
        at = clock.next(told)
        while waiting and waiting[0][0] <= (at if delay is not None else count):
            due, earlier = waiting.popleft()
            yield _label(mapper, earlier, clock.take(due if delay is not None else at))
        at = clock.take(told)
        mapper.stamp(message, at)
        yield TimedMessage("events", message.key, encode(message.event), at)
        if message.label is not None:
            if delay is not None:
                waiting.append((at + delay, message))
            elif after is not None:
                waiting.append((count + after, message))
    for due, message in waiting:
        yield _label(mapper, message, clock.take(due if delay is not None else None))


def _label(mapper: EventMapper, message: MappedEvent, at: int) -> TimedMessage:
    label = message.label or {}
    mapper.stamp_label(label, at)
    return TimedMessage("labels", message.key, encode(label), at)


def merged(
    settings: Settings,
    events: Source,
    labels: Source,
    clock: ReplayClock,
    *,
    key: str | None = None,
) -> Iterator[TimedMessage]:
    """Events, and messages of the labels topic, by the times that the settings map.

    At equal times the label comes first, as in the worker.
    """
    require_json(settings, "events")
    require_json(settings, "labels")
    for side, section in (("events", settings.events), ("labels", settings.labels)):
        if section.timestamp is None:
            raise SettingsError(
                f"{side}.timestamp is missing: nothing says whether an event or a label of these "
                "came first; name the field of its time"
            )
    if settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings: labels of their own only "
            "mean something with labels.from: topic"
        )
    mapper = EventMapper(settings, key)
    both = merge(
        _timed(_messages(labels, mapper, settings), "labels", clock),
        _timed(_events(events, mapper), "events", clock),
        key=lambda each: (each[0], each[1].side == "events"),
    )
    for told, arrival in both:
        yield arrival._replace(at=clock.take(told))


Keyed = tuple[bytes, dict[str, Any]]


def _events(source: Source, mapper: EventMapper) -> Iterator[Keyed]:
    for row in rows(source, mapper):
        message = mapper.message(row)
        yield message.key, message.event


def _messages(source: Source, mapper: EventMapper, settings: Settings) -> Iterator[Keyed]:
    path = settings.labels.id_path(settings.events)
    for row in rows(source, mapper):
        document = mapper.nested(row.fields) if row.flat else row.fields
        yield key_of(get(document, path)), document


def _timed(
    messages: Iterator[Keyed], side: InputName, clock: ReplayClock
) -> Iterator[tuple[int, TimedMessage]]:
    """Messages with their times; one that tells none keeps its place behind the one before."""
    time = 0
    for key, document in messages:
        told = clock.told(side, document)
        time = time if told is None else told
        yield time, TimedMessage(side, key, encode(document), time)
