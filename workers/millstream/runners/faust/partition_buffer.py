"""A buffer of one partition's messages from Faust, in the shape of confluent-kafka's."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError

from millstream.core.records.record import Record

FULL_RECORDS: Final = 16_384
"""More buffered records than this, and Faust shall fetch no more of their partition."""
DRAINED_RECORDS: Final = FULL_RECORDS // 2
"""From this many down, it shall fetch again."""

LOST_SECONDS: Final = 10.0
"""After so long without a message, records that Faust has fetched and not handed over are read from
the log: an agent that was restarted has lost those that it had consumed."""

TopicAndPartition = tuple[str, int]
"""Topic and partition."""


class FetchProgress(NamedTuple):
    """How far Faust has fetched a partition at one moment."""

    position: int
    """Where the next fetch begins."""
    end: int
    """The end of the log for a `read_committed` reader."""
    last: int
    """The offset of the last record fetched; -1 where there was none."""


class FaustRecord:
    """A message of Faust with the methods of confluent-kafka's."""

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
    """A message that was read from the log, with the attributes of Faust's."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    headers: Any


class EndOfLog:
    """The event of having reached the end of a log, as librdkafka has it."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset

    def error(self) -> KafkaError:
        """An error, which tells it from a message."""
        return KafkaError(KafkaError._PARTITION_EOF)

    def topic(self) -> str:
        """Topic of the log."""
        return self._topic

    def partition(self) -> int:
        """Partition of the log."""
        return self._partition

    def offset(self) -> int:
        """The end of the log."""
        return self._offset


class PartitionBuffer:
    """The messages of one partition during one assignment."""

    def __init__(self, topic: str, partition: int, generation: int) -> None:
        self.topic = topic
        self.partition = partition
        self.generation = generation
        self.messages: deque[Any] = deque()
        self.received = -1
        """Offset of the last message that Faust handed over, or up to which the log was read."""
        self._received_at = time.monotonic()
        self.next: int | None = None
        """The due offset; None until the loop seeks to its start."""
        self.complete_to = 0
        """Below this offset, no due record is missing."""
        self.paused = True
        self.fetched: FetchProgress | None = None
        self.gaps: dict[int, tuple[int, bool]] = {}
        """See `ConsumerBridge.fetched`."""
        self._reported_end = -1

    def put(self, message: Any) -> None:
        """Add a message, unless it came before or belongs to another assignment."""
        if message.generation_id == self.generation and message.offset > self.received:
            self.received = message.offset
            self._received_at = time.monotonic()
            self.messages.append(message)

    @property
    def floor(self) -> int:
        """The first offset of which a record may be missing."""
        return max(self.next or 0, self.complete_to)

    def is_full(self) -> bool:
        """Whether Faust shall stop fetching."""
        return len(self.messages) > FULL_RECORDS

    def is_drained(self) -> bool:
        """Whether Faust shall fetch again."""
        return len(self.messages) <= DRAINED_RECORDS

    def is_open(self) -> bool:
        """Whether the loop consumes it."""
        return not self.paused and self.next is not None

    def seek(self, offset: int) -> None:
        """Continue from an offset."""
        self.next = offset
        self.complete_to = offset
        self._reported_end = -1

    def take(self, most: int) -> list[FaustRecord]:
        """Remove and return due messages, at most `most`, up to the first gap."""
        taken: list[FaustRecord] = []
        messages, due = self.messages, self.next
        if due is None:
            return taken
        while messages and len(taken) < most:
            message = messages[0]
            offset = message.offset
            floor = max(due, self.complete_to)
            if offset > floor and not self._follows(offset, floor):
                break
            messages.popleft()
            if self.gaps:
                self.gaps.pop(offset, None)
            if offset >= due:
                taken.append(FaustRecord(message))
                due = offset + 1
        self.next = due
        return taken

    def _follows(self, offset: int, floor: int) -> bool:
        """Whether this record came in one answer right behind one below `floor`."""
        before, together = self.gaps.get(offset, (offset, False))
        return together and before <= floor

    def gap(self) -> int | None:
        """The end of the offset range to be read from the log; None: nothing is missing."""
        if self.next is None:
            return None
        if self.messages:
            offset: int = self.messages[0].offset
            return None if offset <= self.floor or self._follows(offset, self.floor) else offset
        end = self._reached_end() or self._lost_end()
        return end if end is not None and end > self.floor else None

    def is_known_gap(self, end: int) -> bool:
        """Whether Faust's fetches show that the range is empty, unless retention deleted it."""
        if self.messages and self.messages[0].offset == end:
            return self.gaps.get(end, (end, False))[0] <= self.floor
        return 0 <= self.received < self.floor and self._reached_end() is not None

    def fill(self, found: Sequence[Record], end: int) -> None:
        """Insert the records that were read from the log, from `floor` up to `end`."""
        for record in reversed(found):
            if record.offset >= self.floor:
                self.messages.appendleft(
                    LogRecord(self.topic, self.partition, record.offset, record.timestamp / 1000,
                          record.key, record.value, record.headers)
                )  # fmt: skip
        self.complete_to = max(self.complete_to, end)
        self.received = max(self.received, end - 1)

    def _reached_end(self) -> int | None:
        """The end of the log, if all before it was handed over."""
        fetched = self.fetched
        if fetched is None or fetched.position < fetched.end or fetched.last > self.received:
            return None
        return fetched.end

    def _lost_end(self) -> int | None:
        """The end of the log, if Faust has fetched up to it and handed nothing over for long."""
        fetched = self.fetched
        if fetched is None or fetched.position < fetched.end:
            return None
        return fetched.end if time.monotonic() - self._received_at > LOST_SECONDS else None

    def end_to_report(self) -> int | None:
        """The end of the log, where it is reached and was not reported yet."""
        end = self._reached_end()
        if self.messages or end is None or self.next is None or end > self.floor:
            return None
        if end == self._reported_end:
            return None
        self._reported_end = end
        return end
