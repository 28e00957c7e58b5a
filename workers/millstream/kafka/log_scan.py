"""Reads a partition, or the newest of it, outside of any worker and within a bounded time."""

import time
from collections.abc import Callable, Generator, Sequence

from confluent_kafka import KafkaException

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka import topics
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import LogReader, OffsetRange
from millstream.kafka.watermarks import Watermarks, unreadable


def read_log(
    settings: Settings,
    bounds: Watermarks,
    topic: str,
    partition: int,
    sink: Callable[[Sequence[Record]], None],
    newest: int | None = None,
    start: int = 0,
) -> None:
    """Hand every committed record of a partition to `sink`, or those at the `newest` offsets.

    `start`: begin at this offset, or at the first that is there.

    Raises Stop where the partition cannot be read, or nothing comes for the time of an admin call.
    """
    low, end = bounds.patiently(topic, partition)
    start = max(start, low)
    if newest is not None:
        start = max(start, end - newest)
    for records in read_stretch(settings, topic, partition, start, end):
        sink(records)


def read_stretch(
    settings: Settings, topic: str, partition: int, start: int, end: int
) -> Generator[Sequence[Record]]:
    """The committed records from `start` to below `end`, piece by piece; raises as `read_log`."""
    pieces: list[Sequence[Record]] = []
    reader = LogReader(reader_config(settings))
    try:
        reader.open(OffsetRange(topic, partition, start, end, pieces.append))
        heard = time.monotonic()
        while not reader.done():
            reader.step(0.1)
            if pieces:
                yield from pieces
                pieces.clear()
                heard = time.monotonic()
            elif time.monotonic() - heard > topics.ADMIN_TIMEOUT_SECONDS:
                raise Stop(
                    f"{topic} partition {partition} could not be read to its end: no record came "
                    f"for {topics.ADMIN_TIMEOUT_SECONDS:g} s (a broker that does not answer, or a "
                    "transaction that a producer left open)"
                )
    except KafkaException as error:
        raise unreadable(topic, partition, error) from error
    finally:
        reader.close()
