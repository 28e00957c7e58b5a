"""The rate of a program that turns a topic of events into a topic of predictions.

What counts is what a read_committed reader can see. So the last stable offset of the predictions
topic is asked for, each hundredth of the time so far: that tells the same as reading, and costs
next to nothing on a machine whose cores are what is measured. The rate is that between the first
predictions seen and the last; start-up, joining the group and the first batch are left out, and so
is the last step: who commits by a clock waits for it in the end with nothing to do.

Afterwards every output is read: a run counts only if each event has exactly one.
"""

import time
from collections.abc import Callable, Mapping
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
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

from benchmarks.child import BenchmarkError

POLL_SECONDS = 0.02
POLL_SHARE = 0.01
MOST_POLL_SECONDS = 0.1
"""How often is looked: each hundredth of the time so far, within bounds. Fifty looks a second cost
a model that needs a whole core 5 to 8 % of its rate, on two cores (measured)."""
TIMEOUT_SECONDS = 300.0

CHECKPOINT = 500
"""Every so many events (of the first partition) the answer is kept, to be compared with others'."""
_ENOUGH_STEPS = 4
"""Of what was seen, to do without the last one."""
_SETTLING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}


@dataclass(frozen=True)
class Run:
    """What one measurement gave."""

    rate: float
    """Events a second."""
    answers: Mapping[int, Mapping[str, Any]]
    """Event number to the prediction on it, of every `CHECKPOINT`th event."""


Ends = dict[int, int]
"""Partition to the offset up to which a reader can read."""


@dataclass(frozen=True)
class Measure:
    """What is measured, and how."""

    events: int
    """How many are on the topic."""
    partitions: int = 1
    quiet: float = 1.0
    """The end has come when all is there and nothing more has come for so many seconds."""
    skip: float = 0.0
    """The share of the events that does not count, at the start: while events are brought, or a JVM
    gets warm."""
    answers: bool = True
    """Whether outputs are predictions, which say on what. Else there is only the event's key, its
    number, to tell that each has come out once, and nothing to be compared."""


def rate_of(
    program: WorkerProcess,
    kafka: Kafka,
    topic: str,
    measure: Measure,
    *,
    polite: bool = True,
    feed: Callable[[], None] = lambda: None,
) -> Run:
    """Start `program`, wait until it has worked off all events, stop it; its rate.

    `polite`: it has to end well after SIGTERM; otherwise it is killed once all is there. `feed`:
    brings the events, where they are not there before it starts.
    Raises BenchmarkError where it fails, or has not made exactly one output of each event.
    """
    with program:
        feed()
        steps = _watch(program, kafka, topic, measure)
        if polite and program.stop():
            raise BenchmarkError(f"it did not end well; {program.log_text()[-2000:]}")
    last = -2 if len(steps) >= _ENOUGH_STEPS else -1
    (began, first), (ended, end) = steps[0], steps[last]
    counted, answers = _audit(kafka, topic, measure, first, end)
    if not counted:
        raise BenchmarkError(f"all {measure.events} events came out at once: measure more of them")
    return Run(counted / (ended - began), answers)


def _watch(
    program: WorkerProcess, kafka: Kafka, topic: str, measure: Measure
) -> list[tuple[float, Ends]]:
    """What could be read when; from the moment on that counts."""
    steps: list[tuple[float, Ends]] = []
    seen, changed = 0, time.monotonic()
    give_up = changed + TIMEOUT_SECONDS
    while True:
        ends = _readable_ends(kafka, topic, measure.partitions)
        total, now = sum(ends.values()), time.monotonic()
        if total > seen:
            seen, changed = total, now
            if min(ends.values()) and total >= measure.skip * measure.events:
                steps.append((now, ends))
        elif steps and total >= measure.events and now - changed > measure.quiet:
            return steps
        if not program.running:
            raise BenchmarkError(f"it ended by itself; {program.log_text()[-2000:]}")
        if now > give_up:
            raise BenchmarkError(
                f"{total} of {measure.events} after {TIMEOUT_SECONDS:.0f} s; "
                f"{program.log_text()[-2000:]}"
            )
        watched = now - steps[0][0] if steps else 0.0
        time.sleep(min(MOST_POLL_SECONDS, max(POLL_SECONDS, POLL_SHARE * watched)))


def _readable_ends(kafka: Kafka, topic: str, partitions: int) -> Ends:
    """The offsets up to which a read_committed reader can read; 0 where a new topic settles yet."""
    places = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}
    answers = kafka.admin.list_offsets(places, isolation_level=IsolationLevel.READ_COMMITTED)
    ends = dict.fromkeys(range(partitions), 0)
    for place, answer in answers.items():
        try:
            ends[place.partition] = int(answer.result().offset)
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING:
                raise
    return ends


def _audit(
    kafka: Kafka, topic: str, measure: Measure, first: Ends, end: Ends
) -> tuple[int, dict[int, dict[str, Any]]]:
    """Read all outputs; how many stand between `first` and `end`, and some answers."""
    seen: set[tuple[int, int]] = set()
    counted, answers = 0, {}
    consumer = Consumer(
        {
            **kafka.config,
            "group.id": kafka.unique("audit"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    places = range(measure.partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in places])
    try:
        for message in _to_the_end(consumer, measure.partitions):
            if measure.answers:
                document = orjson.loads(message.value())
                place = document["source"]["partition"], document["source"]["offset"]
            else:
                document, place = {}, (message.partition(), int(message.key()))
            if place in seen:
                raise BenchmarkError(f"event {place} came out twice")
            seen.add(place)
            number = message.partition()
            counted += first[number] <= message.offset() < end[number]
            if document and place[0] == 0 and not (place[1] + 1) % CHECKPOINT:
                answers[place[1]] = document
    finally:
        consumer.close()
    if missing := measure.events - len(seen):
        raise BenchmarkError(f"{missing} of {measure.events} events did not come out")
    return counted, answers


def _to_the_end(consumer: Consumer, partitions: int) -> Any:
    while partitions:
        for message in consumer.consume(10_000, 0.5):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                partitions -= 1
            else:
                raise KafkaException(error)
