"""Reads a partition, or the newest of it, outside of any worker and within a bounded time."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millstream.core.records import Record
from millstream.errors import Stop
from millstream.runners import topics
from millstream.runners.clients import reader_config
from millstream.runners.logs_reader import LogReader, Stretch, log_bounds
from millstream.settings import Settings


def read_log(
    settings: Settings,
    admin: AdminClient,
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
    reader = LogReader(reader_config(settings))
    try:
        low, end = log_bounds(admin, topic, partition)
        start = max(start, low)
        if newest is not None:
            start = max(start, end - newest)
        reader.open(Stretch(topic, partition, start, end, sink))
        read, heard = 0, time.monotonic()
        while not reader.done():
            reader.step(0.1)
            if reader.records_read > read:
                read, heard = reader.records_read, time.monotonic()
            elif time.monotonic() - heard > topics.ADMIN_TIMEOUT_SECONDS:
                raise Stop(
                    f"{topic} partition {partition} could not be read to its end: no record came "
                    f"for {topics.ADMIN_TIMEOUT_SECONDS:g} s (a broker that does not answer, or a "
                    "transaction that a producer left open)"
                )
    except KafkaException as error:
        raise Stop(
            f"{topic} partition {partition} cannot be read: {topics.reason(error)}"
        ) from error
    finally:
        reader.close()
