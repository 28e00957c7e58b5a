"""The order in which recorded events and labels arrive.

No wall clock is read. A record comes at the time that the settings map; without one, a
millisecond after the record before.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any, Final, NamedTuple

from millstream.config.arguments import Duration, to_milliseconds
from millstream.config.settings import Settings
from millstream.core.formats.json_fields import Getter, time_reader
from millstream.core.records.record import InputName
from millstream.errors import DeadLetter, SettingsError
from millstream.sources.event_mapping import EventMapper, MappedEvent, encode, get, key_of
from millstream.sources.label_mapping import LabelMapper
from millstream.sources.readers import Row, Source, read_rows

BEGIN_MS: Final = 946_684_800_000
"""Time of the first record, where records carry none: the first day of 2000."""


class TimedMessage(NamedTuple):
    """A message and its time."""

    input_name: InputName
    key: bytes
    value: bytes | None
    at: int
    """When it comes, ms since 1970."""


class ReplayClock:
    """The time that recorded messages carry; it never goes back."""

    def __init__(self, settings: Settings) -> None:
        self.now: int | None = None
        """Time of the last message, ms; None before the first."""
        self._readers: dict[InputName, Getter] = {}
        events, labels = settings.events, settings.labels
        if events.timestamp:
            self._readers["events"] = time_reader(events.timestamp, events.timestamp_unit)
        if labels.timestamp:
            self._readers["labels"] = time_reader(labels.timestamp, labels.timestamp_unit)

    def timestamp(self, input_name: InputName, document: dict[str, Any]) -> int | None:
        """The time in a message, ms; None where the settings map none or it cannot be read."""
        reader = self._readers.get(input_name)
        try:
            return None if reader is None else reader(document)
        except DeadLetter:
            return None

    def later(self) -> int:
        """A millisecond after the last message."""
        return BEGIN_MS if self.now is None else self.now + 1

    def next(self, timestamp: int | None) -> int:
        """The time at which a message with this timestamp comes."""
        if timestamp is None:
            return self.later()
        return timestamp if self.now is None else max(timestamp, self.now)

    def take(self, timestamp: int | None) -> int:
        """Advance to the time of a message with this timestamp, and return it."""
        self.now = self.next(timestamp)
        return self.now


def require_json(settings: Settings, input_name: InputName) -> None:
    """Raise `SettingsError` if an input has a codec, which cannot encode fields."""
    codec = settings.events.codec if input_name == "events" else settings.labels.codec
    if codec is not None:
        raise SettingsError(
            f"{input_name}.codec is {codec}, which says how to read a message and not how to "
            "write one: give messages as bytes"
        )


def recorded(
    settings: Settings,
    events: Source,
    labels: Source | None,
    clock: ReplayClock,
    *,
    key: str | None = None,
    after: int | None = None,
    delay: Duration | None = None,
    truth: str | None = None,
) -> Iterator[TimedMessage]:
    """Messages of recorded data in the order of their times.

    `labels`: messages of the labels topic, merged by time; None: labels are taken out of the events
    as `delayed` does. Raises `SettingsError` where the arguments do not fit the settings.
    """
    if labels is None:
        delay_ms = None if delay is None else to_milliseconds(delay)
        return delayed(settings, events, clock, key=key, after=after, delay=delay_ms, truth=truth)
    if after is not None or delay is not None:
        raise SettingsError(
            "labels have a source of their own, whose times say when they come: leave out how long "
            "after their events they do"
        )
    return merged(settings, events, labels, clock, key=key)


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
    labelled = (_with_truth(row, truth) for row in read_rows(events, mapper.is_id))
    yield from DelayedLabels(mapper, clock, after=after, delay=delay).messages(labelled)


def _with_truth(row: Row, truth: str | None) -> Row:
    if truth is not None and row.label is not None:
        row.fields[truth] = row.label
    return row


class DelayedLabels:
    """Event messages, each followed by its label after a number of events or a time."""

    def __init__(
        self,
        mapper: EventMapper,
        clock: ReplayClock,
        *,
        after: int | None = None,
        delay: int | None = None,
    ) -> None:
        """`after`: events between an event and its label; `delay`: ms; neither: no labels."""
        self._mapper, self._clock = mapper, clock
        self._after, self._delay = after, delay
        self.pending: deque[tuple[int, MappedEvent]] = deque()
        """Messages whose labels are still to come, and when: after so many events, or in ms."""

    def messages(self, rows: Iterable[Row]) -> Iterator[TimedMessage]:
        """Events and labels in the order of their times; after the last event, the labels left."""
        mapper, clock = self._mapper, self._clock
        for count, row in enumerate(rows):
            message = mapper.message(row)
            timestamp = clock.timestamp("events", message.event)
            yield from self._due(count, clock.next(timestamp))
            at = clock.take(timestamp)
            mapper.stamp(message, at)
            yield TimedMessage("events", message.key, encode(message.event), at)
            if message.label is not None:
                if self._delay is not None:
                    self.pending.append((at + self._delay, message))
                elif self._after is not None:
                    self.pending.append((count + self._after, message))
        while self.pending:
            due, message = self.pending.popleft()
            yield self._label(message, due if self._delay is not None else clock.later())

    def _due(self, count: int, at: int) -> Iterator[TimedMessage]:
        """The labels that come before event number `count`, which comes at `at`."""
        while self.pending and self.pending[0][0] <= (count if self._delay is None else at):
            due, message = self.pending.popleft()
            yield self._label(message, at if self._delay is None else due)

    def _label(self, message: MappedEvent, at: int) -> TimedMessage:
        label, at = message.label or {}, self._clock.take(at)
        self._mapper.stamp_label(label, at)
        return TimedMessage("labels", message.key, encode(label), at)


def only_labels(
    mapper: LabelMapper, clock: ReplayClock, rows: Iterable[Row]
) -> Iterator[TimedMessage]:
    """Messages of the labels topic without their events; a row without a label is left out."""
    for row in rows:
        message = mapper.message(row, clock.next(None))
        if message is not None:
            yield TimedMessage("labels", message.key, encode(message.value), clock.take(None))


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
    for input_name, section in (("events", settings.events), ("labels", settings.labels)):
        if section.timestamp is None:
            raise SettingsError(
                f"{input_name}.timestamp is missing: nothing says whether an event or a label of "
                "these came first; name the field of its time"
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
        key=lambda each: (each[0], each[1].input_name == "events"),
    )
    for timestamp, message in both:
        yield message._replace(at=clock.take(timestamp))


Keyed = tuple[bytes, dict[str, Any]]


def _events(source: Source, mapper: EventMapper) -> Iterator[Keyed]:
    for row in read_rows(source, mapper.is_id):
        message = mapper.message(row)
        yield message.key, message.event


def _messages(source: Source, mapper: EventMapper, settings: Settings) -> Iterator[Keyed]:
    path = settings.labels.id_path(settings.events)
    for row in read_rows(source, mapper.is_id):
        document = mapper.nested(row.fields) if row.flat else row.fields
        yield key_of(get(document, path)), document


def _timed(
    messages: Iterator[Keyed], input_name: InputName, clock: ReplayClock
) -> Iterator[tuple[int, TimedMessage]]:
    """Messages with their times; one without a time has that of the one before."""
    time = 0
    for key, document in messages:
        timestamp = clock.timestamp(input_name, document)
        time = time if timestamp is None else timestamp
        yield time, TimedMessage(input_name, key, encode(document), time)
