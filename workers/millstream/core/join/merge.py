"""The merge of events and labels of one partition by message time.

The order must not depend on which of the two is fetched first: a backlog of both has to come in the
order in which a live worker would have met it. So a record is consumed only when the head of the
other input is known, or when the other input is at its end. At equal times the label comes first,
as in River's own delayed evaluation.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from millstream.core.records.record import InputName, Record
from millstream.errors import DeadLetter

Content = TypeVar("Content")


class BufferedRecord(NamedTuple, Generic[Content]):
    """A decoded record with its time."""

    record: Record
    content: Content | DeadLetter | None
    """What was read; a `DeadLetter` where that failed; None for a tombstone."""
    time: int
    """Message time in ms, never later than when it was fetched."""
    order_time: int
    """Its place among the records of the other input, ms: its time or, without a valid one, the
    time of the record before it, so that nothing behind it has to wait."""
    advances_stream: bool
    """False if its own time was later than that, or could not be read: then it does not show how
    far the stream is."""


class EventTimeMerge:
    """Two queues, and the rule that chooses between them."""

    def __init__(self, max_idle: int) -> None:
        """`max_idle`: how long to wait for an input that is at its end, ms."""
        self._max_idle = max_idle
        self.queues: dict[InputName, deque[BufferedRecord[object]]] = {
            "events": deque(),
            "labels": deque(),
        }
        self._ends: dict[InputName, bool] = {"events": False, "labels": False}
        self._absent_since: dict[InputName, int | None] = {"events": None, "labels": None}

    def add(self, input_name: InputName, items: Sequence[BufferedRecord[object]]) -> None:
        """Queue what was fetched."""
        if items:
            self.queues[input_name].extend(items)
            self._absent_since[input_name] = None

    def mark_ends(self, ends: dict[InputName, bool]) -> None:
        """Note which inputs have nothing more to fetch at present."""
        self._ends.update(ends)

    def absent(self, input_name: InputName, now: int) -> bool:
        """Whether an input is empty and at its end, and has been for `max_idle`."""
        if self.queues[input_name] or not self._ends[input_name]:
            self._absent_since[input_name] = None
            return False
        since = self._absent_since[input_name]
        if since is None:
            since = self._absent_since[input_name] = now
        return now - since >= self._max_idle

    def next_input(self, now: int) -> InputName | None:
        """Return the input to consume the next record of; None: wait."""
        events, labels = self.queues["events"], self.queues["labels"]
        if events and labels:
            return "labels" if labels[0].order_time <= events[0].order_time else "events"
        if events:
            return "events" if self.absent("labels", now) else None
        if labels:
            return "labels" if self.absent("events", now) else None
        return None


class OrderTimes:
    """Gives each record its place: its message time or, without one, that of the record before."""

    def __init__(self, *, events: bool, labels: bool) -> None:
        """Take whether the settings map a timestamp field of either input."""
        self._maps_time: dict[InputName, bool] = {"events": events, "labels": labels}
        self._latest: dict[InputName, int] = {"events": 0, "labels": 0}

    def buffered(
        self, input_name: InputName, record: Record, content: object, mapped: int | None, now: int,
        *, readable: bool,
    ) -> BufferedRecord[object]:  # fmt: skip
        """`mapped`: the time in a field, ms; `readable`: whether the message could be read."""
        own = record.timestamp if mapped is None else mapped
        if not readable and self._maps_time[input_name]:
            own = -1  # the field cannot be read, and Kafka's timestamp may be of another age
        valid = 0 <= own <= now
        if valid:
            self._latest[input_name] = own
        time = own if valid else now
        return BufferedRecord(
            record, content, time, order_time=self._latest[input_name], advances_stream=valid
        )
