"""What Faust has handed over of one partition, and in what shape the loop takes it."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError

from millstream.core.records.record import Record

HOLD_RECORDS: Final = 16_384
"""Records that wait for the loop before Faust shall fetch no more of their partition."""
RELEASE_RECORDS: Final = HOLD_RECORDS // 2

LOST_SECONDS: Final = 10.0
"""After so long without a message, what Faust has fetched and not handed over is read from the log:
an agent that was restarted has lost what it had taken."""

TopicAndPartition = tuple[str, int]
"""Topic and partition."""


class FetchedTo(NamedTuple):
    """How far a partition was fetched at one moment."""

    position: int
    """Where the next fetch begins."""
    end: int
    """The end of the log for a `read_committed` reader."""
    last: int
    """The offset of the last record fetched; -1 where there was none."""


class FaustRecord:
    """A message of Faust, as confluent-kafka shows one."""

    __slots__ = ("_message",)

    def __init__(self, message: Any) -> None:
        self._message = message

    def error(self) -> None:
        """None: it is a message."""

    def topic(self) -> str:
        """Its topic."""
        return str(self._message.topic)

    def partition(self) -> int:
        """Its partition."""
        return int(self._message.partition)

    def offset(self) -> int:
        """Its offset."""
        return int(self._message.offset)

    def timestamp(self) -> tuple[int, int]:
        """Type, and ms since 1970; -1 where there is none. Faust divides by a thousand."""
        seconds = self._message.timestamp
        return 0, -1 if seconds is None else round(seconds * 1000)

    def key(self) -> bytes | None:
        """Its key."""
        key: bytes | None = self._message.key
        return key

    def value(self) -> bytes | None:
        """Its value."""
        value: bytes | None = self._message.value
        return value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Its headers, None where there are none."""
        headers = self._message.headers
        return list(headers) if headers else None


class LogRecord(NamedTuple):
    """A message that was read from the log, in the shape that Faust's have."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    headers: Any


class EndOfLog:
    """Says that the end of a log is reached, as librdkafka's event does."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset

    def error(self) -> KafkaError:
        """What makes it no message."""
        return KafkaError(KafkaError._PARTITION_EOF)

    def topic(self) -> str:
        """Of the log."""
        return self._topic

    def partition(self) -> int:
        """Of the log."""
        return self._partition

    def offset(self) -> int:
        """Where the log ends."""
        return self._offset


class PartitionBuffer:
    """One partition for the time of one assignment."""

    def __init__(self, topic: str, partition: int, generation: int) -> None:
        self.topic = topic
        self.partition = partition
        self.generation = generation
        self.waiting: deque[Any] = deque()
        self.received = -1
        """Offset of the last message that Faust handed over, or that nothing is to come before."""
        self._received_at = time.monotonic()
        self.next: int | None = None
        """The offset that is due; None until the loop says where to begin."""
        self.sure = 0
        """Below it, nothing is missing of what is due."""
        self.paused = True
        self.fetched: FetchedTo | None = None
        self.gaps: dict[int, tuple[int, bool]] = {}
        self._told_end = -1

    def put(self, message: Any) -> None:
        """Take in a message, unless it came before or belongs to another assignment."""
        if message.generation_id == self.generation and message.offset > self.received:
            self.received = message.offset
            self._received_at = time.monotonic()
            self.waiting.append(message)

    @property
    def floor(self) -> int:
        """The offset from which on something may be missing."""
        return max(self.next or 0, self.sure)

    def is_full(self) -> bool:
        """Whether Faust shall wait."""
        return len(self.waiting) > HOLD_RECORDS

    def is_drained(self) -> bool:
        """Whether Faust shall go on."""
        return len(self.waiting) <= RELEASE_RECORDS

    def is_open(self) -> bool:
        """Whether the loop takes messages of it."""
        return not self.paused and self.next is not None

    def seek(self, offset: int) -> None:
        """Go on from here."""
        self.next = offset
        self.sure = offset
        self._told_end = -1

    def take(self, most: int) -> list[FaustRecord]:
        """Messages that are due, up to the first gap."""
        taken: list[FaustRecord] = []
        waiting, due = self.waiting, self.next
        if due is None:
            return taken
        while waiting and len(taken) < most:
            message = waiting[0]
            offset = message.offset
            floor = max(due, self.sure)
            if offset > floor and not self._follows(offset, floor):
                break
            waiting.popleft()
            if self.gaps:
                self.gaps.pop(offset, None)
            if offset >= due:
                taken.append(FaustRecord(message))
                due = offset + 1
        self.next = due
        return taken

    def _follows(self, offset: int, floor: int) -> bool:
        """Whether one answer held this record right behind one that is taken."""
        before, together = self.gaps.get(offset, (offset, False))
        return together and before <= floor

    def gap(self) -> int | None:
        """The offset up to which has to be found out what is missing; None: nothing is."""
        if self.next is None:
            return None
        if self.waiting:
            offset: int = self.waiting[0].offset
            return None if offset <= self.floor or self._follows(offset, self.floor) else offset
        end = self._reached_end() or self._lost_end()
        return end if end is not None and end > self.floor else None

    def is_known_gap(self, end: int) -> bool:
        """Whether Faust's fetches show that nothing lies between, unless retention took it."""
        if self.waiting and self.waiting[0].offset == end:
            return self.gaps.get(end, (end, False))[0] <= self.floor
        return 0 <= self.received < self.floor and self._reached_end() is not None

    def fill(self, found: Sequence[Record], end: int) -> None:
        """Put in what was read from the log, from the record that is due up to `end`."""
        for record in reversed(found):
            if record.offset >= self.floor:
                self.waiting.appendleft(
                    LogRecord(self.topic, self.partition, record.offset, record.timestamp / 1000,
                          record.key, record.value, record.headers)
                )  # fmt: skip
        self.sure = max(self.sure, end)
        self.received = max(self.received, end - 1)

    def _reached_end(self) -> int | None:
        """The end of the log, if all before it was handed over."""
        to = self.fetched
        if to is None or to.position < to.end or to.last > self.received:
            return None
        return to.end

    def _lost_end(self) -> int | None:
        """The end of the log, if Faust has fetched up to it, and for long handed nothing over."""
        to = self.fetched
        if to is None or to.position < to.end:
            return None
        return to.end if time.monotonic() - self._received_at > LOST_SECONDS else None

    def end_to_tell(self) -> int | None:
        """The end of the log, where it is reached and was not told of yet."""
        end = self._reached_end()
        if self.waiting or end is None or self.next is None or end > self.floor:
            return None
        if end == self._told_end:
            return None
        self._told_end = end
        return end
