"""Readers of one partition's log, up to an offset that is given in advance."""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka import admin
from millstream.kafka.client_config import reader_config
from millstream.kafka.record import to_record
from millstream.kafka.watermarks import Watermarks, unreadable

log = logging.getLogger(__name__)

READ_COUNT = 500
"""Records in a chunk: a loop that restores a slow model must still poll and show signs of life."""
PROGRESS_SECONDS: Final = 5.0
"""Between two progress lines on a long range."""
STEP_SECONDS: Final = 0.1

HOPELESS: Final = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.FENCED_INSTANCE_ID,
    # The client itself is dead, and says so once: a static member that another one has fenced.
    KafkaError._FATAL,
}
"""Errors that no retry cures. A topic that a *broker* does not know is not among them: while a
broker starts, or right after a topic was created, brokers deny topics that exist."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """A part of a partition's log, and the function that takes its records."""

    topic: str
    partition: int
    start: int
    """First offset to read."""
    end: int
    """Only offsets below it are read."""
    sink: Callable[[Sequence[Record]], None]


class LogReader:
    """Reads offset ranges with `read_committed`, by a consumer that belongs to no group.

    A range is read when the *position* is at or past its end, and its end has to come from
    `Watermarks`. Neither the end-of-partition event alone nor a reader's own watermarks will do:
    `commit_transaction` returns before the broker has written the markers, and until then both
    stop short of the transaction just committed.
    """

    def __init__(self, config: dict[str, object]) -> None:
        """`config` of a consumer, as `reader_config` makes it."""
        self._config = config
        # A consumer for each range: one that is assigned another topic learns its leader only
        # with librdkafka's next metadata request, a second later; a new one reads within 50 ms.
        self._consumer: Consumer | None = None
        self._range: OffsetRange | None = None
        self._position = 0
        self._progress_at = 0.0
        self.records_read = 0

    def open(self, offset_range: OffsetRange) -> None:
        """Begin with a range."""
        self._range = offset_range
        self._position = offset_range.start
        self._progress_at = time.monotonic() + PROGRESS_SECONDS
        if not self.done():
            self._consumer = Consumer(self._config)
            self._consumer.assign(
                [TopicPartition(offset_range.topic, offset_range.partition, offset_range.start)]
            )

    def done(self) -> bool:
        """Return True once the range is read to its end."""
        return self._range is None or self._position >= self._range.end

    def _log_progress(self, offset_range: OffsetRange) -> None:
        now = time.monotonic()
        if now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_SECONDS
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
        """Read a chunk of the range, waiting for at most `timeout` seconds.

        Raises `Stop` where the log cannot be read.
        """
        offset_range = self._range
        if offset_range is None or self._consumer is None or self.done():
            return
        self._log_progress(offset_range)
        first = self._consumer.poll(timeout)
        if first is None:
            return
        records: list[Record] = []
        messages: list[Any] = [first, *self._consumer.consume(READ_COUNT, 0)]
        for message in messages:
            error = message.error()
            if error is None:
                # Records past the end were written after the restore had begun.
                if message.offset() < offset_range.end:
                    records.append(to_record(message))
                self._position = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._position = max(self._position, message.offset())
            elif error.fatal() or error.code() in HOPELESS:
                raise Stop(
                    f"{offset_range.topic} partition {offset_range.partition} cannot be read "
                    f"from offset {offset_range.start}: {error.str()}"
                )
        if records:
            self.records_read += len(records)
            offset_range.sink(records)
        if self.done():
            self.close()

    def close(self) -> None:
        """Drop the range and close its consumer."""
        self._range = None
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


class KafkaLogReader(LogReader):
    """A reader that also knows the watermarks of partitions."""

    def __init__(self, bounds: Watermarks, config: dict[str, object]) -> None:
        """`config` as of `LogReader`."""
        super().__init__(config)
        self._bounds = bounds

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """As `Watermarks.of`."""
        return self._bounds.of(topic, partition)


def read_log(
    settings: Settings,
    bounds: Watermarks,
    topic: str,
    partition: int,
    sink: Callable[[Sequence[Record]], None],
    newest: int | None = None,
    start: int = 0,
) -> None:
    """Give every committed record of a partition to `sink`, from offset `start` to its present end.

    `newest`: only records at so many offsets before the end. Raises as `read_offset_range`.
    """
    low, end = bounds.patiently(topic, partition)
    start = max(start, low)
    if newest is not None:
        start = max(start, end - newest)
    for records in read_offset_range(settings, topic, partition, start, end):
        sink(records)


def read_offset_range(
    settings: Settings,
    topic: str,
    partition: int,
    start: int,
    end: int,
    patience: float | None = None,
) -> Generator[Sequence[Record]]:
    """Yield the committed records from `start` to below `end`, in chunks.

    Raises `Stop` where they cannot be read, or none comes for `patience` seconds (None: the time
    of an admin call).
    """
    patience = admin.ADMIN_TIMEOUT_SECONDS if patience is None else patience
    chunks: list[Sequence[Record]] = []
    reader = LogReader(reader_config(settings))
    try:
        reader.open(OffsetRange(topic, partition, start, end, chunks.append))
        heard = time.monotonic()
        while not reader.done():
            reader.step(STEP_SECONDS)
            if chunks:
                yield from chunks
                chunks.clear()
                heard = time.monotonic()
            elif time.monotonic() - heard > patience:
                raise Stop(
                    f"{topic} partition {partition} could not be read to its end: no record came "
                    f"for {patience:g} s (a broker that does not answer, or a "
                    "transaction that a producer left open)"
                )
    except KafkaException as error:
        raise unreadable(topic, partition, error) from error
    finally:
        reader.close()
