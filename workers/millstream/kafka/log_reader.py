"""Reads a stretch of one partition to its end, a piece at a time."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from millstream.core.records.record import UNREADABLE_HEADERS, Headers, Record
from millstream.errors import Stop

log = logging.getLogger(__name__)

READ_COUNT = 500
"""At a time: a loop that restores a slow model still has to turn, and to be seen to."""
TELL_SECONDS: Final = 5.0
"""Between two lines about a long stretch."""
BROKER_TIMEOUT_SECONDS = 10.0

HOPELESS: Final = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.FENCED_INSTANCE_ID,
    # The client itself is dead, and says so once: of a static member whose name another has taken.
    KafkaError._FATAL,
}
"""What no waiting mends. A topic that a broker does not know is not among it: right after it was
made, or while a broker starts, brokers say so of topics that are there."""


def to_record(message: Any, make: Callable[..., Record] = tuple.__new__) -> Record:
    """A message as the core takes it; one that was consumed has all that its type leaves open.

    `make` is the constructor of tuples: a named one costs three times as much.
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


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """A part of a log, and who takes it in."""

    topic: str
    partition: int
    start: int
    """First offset to read."""
    end: int
    """Read is what lies below."""
    sink: Callable[[Sequence[Record]], None]


class LogReader:
    """Reads stretches with `read_committed`, by a consumer that belongs to no group.

    A stretch is read when the *position* is at or past its end, and its end has to come from
    `Watermarks`. Neither the end-of-partition event alone nor a reader's own watermarks will do:
    `commit_transaction` returns before the broker has written the markers, and until then both
    stop short of the transaction just committed.
    """

    def __init__(self, config: dict[str, object]) -> None:
        self._config = config
        # A consumer for each stretch: one that is assigned another topic learns of its leader
        # only at librdkafka's next look, a second later; a new one reads within 50 ms (measured).
        self._consumer: Consumer | None = None
        self._stretch: OffsetRange | None = None
        self._position = 0
        self._tell_at = 0.0
        self.records_read = 0

    def open(self, offset_range: OffsetRange) -> None:
        """Begin with a stretch."""
        self._stretch = offset_range
        self._position = offset_range.start
        self._tell_at = time.monotonic() + TELL_SECONDS
        if not self.done():
            self._consumer = Consumer(self._config)
            self._consumer.assign(
                [TopicPartition(offset_range.topic, offset_range.partition, offset_range.start)]
            )

    def done(self) -> bool:
        """Whether the stretch is read to its end."""
        return self._stretch is None or self._position >= self._stretch.end

    def _tell(self) -> None:
        """Say now and then how far a long stretch is read."""
        now, offset_range = time.monotonic(), self._stretch
        if offset_range is None or now < self._tell_at:
            return
        self._tell_at = now + TELL_SECONDS
        read, of = self._position - offset_range.start, offset_range.end - offset_range.start
        log.info(
            "restoring",
            extra={
                "topic": offset_range.topic,
                "partition": offset_range.partition,
                "read": read,
                "of": of,
                "percent": 100 * read // of,
            },
        )

    def step(self, timeout: float) -> None:
        """Read a piece of the stretch, waiting for at most `timeout` seconds.

        Raises `Stop` where the log cannot be read.
        """
        if self._stretch is None or self._consumer is None or self.done():
            return
        self._tell()
        first = self._consumer.poll(timeout)
        if first is None:
            return
        records: list[Record] = []
        messages: list[Any] = [first, *self._consumer.consume(READ_COUNT, 0)]
        for message in messages:
            error = message.error()
            if error is None:
                # Past the end is what came after the restore had begun: it is not ours to fold.
                if message.offset() < self._stretch.end:
                    records.append(to_record(message))
                self._position = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._position = max(self._position, message.offset())
            elif error.fatal() or error.code() in HOPELESS:
                raise Stop(
                    f"{self._stretch.topic} partition {self._stretch.partition} cannot be read "
                    f"from offset {self._stretch.start}: {error.str()}"
                )
        if records:
            self.records_read += len(records)
            self._stretch.sink(records)
        if self.done():
            self.close()

    def close(self) -> None:
        """Let go of the stretch and of the broker."""
        self._stretch = None
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
