"""Events and labels of one partition, merged by message time.

The order must not depend on which of the two is fetched first: a backlog of both, worked off
later, has to come in the order in which a live worker would have met it. So a record is taken only
when the head of the other side is known, or when the other side is at its end. At equal times the
label comes first, as in River's own delayed evaluation.
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
    turn: int
    """When it is its turn among the records of the other side, ms: its time; where that is none to
    go by, the time of the record before it, so that nothing behind it has to wait."""
    tells_time: bool
    """False where its own time was later than that, or could not be read: then it says nothing
    about how far the stream is."""


class EventTimeMerge:
    """Two queues, and the rule which of them is next."""

    def __init__(self, max_idle: int) -> None:
        """`max_idle`: how long (ms) a side that is at its end is waited for nevertheless."""
        self._max_idle = max_idle
        self.queues: dict[InputName, deque[BufferedRecord[object]]] = {
            "events": deque(),
            "labels": deque(),
        }
        self._ends: dict[InputName, bool] = {"events": False, "labels": False}
        self._absent_since: dict[InputName, int | None] = {"events": None, "labels": None}

    def add(self, side: InputName, items: Sequence[BufferedRecord[object]]) -> None:
        """Queue what was fetched."""
        if items:
            self.queues[side].extend(items)
            self._absent_since[side] = None

    def mark_ends(self, ends: dict[InputName, bool]) -> None:
        """Note which sides have nothing more to fetch at present."""
        self._ends.update(ends)

    def absent(self, side: InputName, now: int) -> bool:
        """Whether a side is empty, at its end, and has been for long enough."""
        if self.queues[side] or not self._ends[side]:
            self._absent_since[side] = None
            return False
        since = self._absent_since[side]
        if since is None:
            since = self._absent_since[side] = now
        return now - since >= self._max_idle

    def next_side(self, now: int) -> InputName | None:
        """The side to take the next record from; None: wait."""
        events, labels = self.queues["events"], self.queues["labels"]
        if events and labels:
            return "labels" if labels[0].turn <= events[0].turn else "events"
        if events:
            return "events" if self.absent("labels", now) else None
        if labels:
            return "labels" if self.absent("events", now) else None
        return None


class OrderTimes:
    """When each record has its turn: its message time, or its place where it tells none."""

    def __init__(self, *, events: bool, labels: bool) -> None:
        """Whether the settings map a timestamp field of either side."""
        self._maps_time: dict[InputName, bool] = {"events": events, "labels": labels}
        self._latest: dict[InputName, int] = {"events": 0, "labels": 0}

    def item(
        self, side: InputName, record: Record, content: object, mapped: int | None, now: int,
        *, readable: bool,
    ) -> BufferedRecord[object]:  # fmt: skip
        """`mapped`: the time in a field, ms; `readable`: the message could be read at all."""
        own = record.timestamp if mapped is None else mapped
        if not readable and self._maps_time[side]:
            own = -1  # what it says cannot be read, and Kafka's timestamp may be of another age
        tells_time = 0 <= own <= now
        if tells_time:
            self._latest[side] = own
        time = own if tells_time else now
        return BufferedRecord(record, content, time, turn=self._latest[side], tells_time=tells_time)
