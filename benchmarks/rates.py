"""The rate of a program that turns a topic of events into a topic of predictions.

What counts is what a read_committed reader can see. So the last stable offset of the predictions
topic is asked for, some fifty times a second: that tells the same as reading would, and costs
next to nothing on a machine whose cores are what is measured. The rate is that between the first
predictions seen and the last; start-up, joining the group and the first batch are left out.

Afterwards every prediction is read: a run counts only if each event has exactly one.
"""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec
from tests.kafka.cluster import Kafka
from tests.kafka.worker import WorkerProcess

from benchmarks.child import BenchmarkError

POLL_SECONDS = 0.02
QUIET_SECONDS = 1.0
"""The end has come when all is there and so long nothing more has come."""
TIMEOUT_SECONDS = 300.0

_SETTLING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}


@dataclass(frozen=True)
class Run:
    """What one measurement gave."""

    rate: float
    """Events a second."""
    last: dict[str, Any]
    """The prediction on the last event."""


@dataclass(frozen=True)
class Progress:
    """Two moments of a topic: (seconds, offset up to which a reader can read)."""

    first: tuple[float, int]
    last: tuple[float, int]


def rate_of(program: WorkerProcess, kafka: Kafka, topic: str, events: int) -> Run:
    """Start `program`, wait until it has worked off all events, stop it; its rate.

    Raises BenchmarkError where it fails, or has not made exactly one prediction of each event.
    """
    with program:
        progress = _watch(program, kafka, topic, events)
        if program.stop():
            raise BenchmarkError(f"it did not end well; {program.log_text()[-2000:]}")
    (began, first), (ended, _) = progress.first, progress.last
    after_first, last = _audit(kafka, topic, events, first)
    if not after_first:
        raise BenchmarkError(f"all {events} events came out at once: measure more of them")
    return Run(after_first / (ended - began), last)


def _watch(program: WorkerProcess, kafka: Kafka, topic: str, events: int) -> Progress:
    first: tuple[float, int] | None = None
    last = (time.monotonic(), 0)
    give_up = last[0] + TIMEOUT_SECONDS
    while True:
        offset = _readable_end(kafka, topic)
        now = time.monotonic()
        if offset > last[1]:
            last = (now, offset)
            first = first or last
        elif first and offset >= events and now - last[0] > QUIET_SECONDS:
            return Progress(first, last)
        if not program.running:
            raise BenchmarkError(f"it ended by itself; {program.log_text()[-2000:]}")
        if now > give_up:
            raise BenchmarkError(f"{offset} of {events} after {TIMEOUT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _readable_end(kafka: Kafka, topic: str) -> int:
    """The offset up to which a read_committed reader can read; 0 where a new topic settles yet."""
    place = TopicPartition(topic, 0)
    level = IsolationLevel.READ_COMMITTED
    answers = kafka.admin.list_offsets({place: OffsetSpec.latest()}, isolation_level=level)
    try:
        return int(answers[place].result().offset)
    except KafkaException as error:
        if error.args[0].code() in _SETTLING:
            return 0
        raise


def _audit(kafka: Kafka, topic: str, events: int, first: int) -> tuple[int, dict[str, Any]]:
    """Read all predictions; how many stand at `first` or later, and the last event's."""
    seen = bytearray(events)
    after_first, last = 0, b""
    consumer = Consumer(
        {
            **kafka.config,
            "group.id": kafka.unique("audit"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    try:
        for message in _to_the_end(consumer):
            last = message.value()
            source = orjson.loads(last)["source"]["offset"]
            if seen[source]:
                raise BenchmarkError(f"event {source} was predicted twice")
            seen[source] = 1
            after_first += message.offset() >= first
    finally:
        consumer.close()
    if missing := events - sum(seen):
        raise BenchmarkError(f"{missing} of {events} events have no prediction")
    return after_first, orjson.loads(last)


def _to_the_end(consumer: Consumer) -> Any:
    while True:
        for message in consumer.consume(10_000, 0.5):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise KafkaException(error)
