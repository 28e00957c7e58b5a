"""Performs outcomes: all of a batch's outputs and offsets, or nothing.

`exactly_once` does so in a transaction. `at_least_once` writes, waits for the acknowledgements and
then commits the offsets: a crash between the two repeats outputs, while what is learned stays
exactly-once because the fold goes by source positions.

Every failure has one of three owners. `Aborted`: nothing of the batch counts, its shards are to be
restored. `ProducerLost`: the same, and the producer is of no more use. `Stop`: nothing helps.
"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaException, Producer, TopicPartition

from millstream.core.records.record import BatchResult, Output
from millstream.errors import MillstreamError, Stop
from millstream.kafka.call_timeout import CallWithTimeout, within
from millstream.kafka.group_consumer import GroupConsumer

_log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 60.0
"""How long a commit may be without an answer though brokers answer. After a broker that was frozen
goes on, it comes back within seconds."""
LEAVE_SECONDS: Final = 20.0
"""How long a consumer may take to close where it might never be done: enough for last snapshots."""


class Aborted(MillstreamError):
    """The batch does not count; restore its shards and go on from the committed offsets."""


class ProducerLost(Aborted):
    """The producer is dead (fenced, or its transaction timed out): it has to be built again."""

    def __init__(self, why: str, seconds: float) -> None:
        """`seconds`: since its transaction began."""
        super().__init__(why)
        self.seconds = seconds


class OutputTopics(NamedTuple):
    """The topics that outputs go to."""

    predictions: str
    examples: str
    models: str
    dead_letters: str


class Publisher(Protocol):
    """What the loop knows of either guarantee; each method raises `Aborted` or `Stop`."""

    def rest(self) -> None:
        """Before a batch is fetched: wait where the one before is to settle first."""

    def write(self, partition: int, result: BatchResult) -> None:
        """Take the outputs of a piece of the open batch; they leave `result`."""

    def commit(
        self, offsets: Sequence[TopicPartition], member: str, consumer: GroupConsumer
    ) -> None:
        """Make the open batch count.

        `offsets`: where the group's positions are afterwards, of events and of labels, moved or
        not; `member`: the consumer's member id when the batch was fetched, empty where it was in no
        group.
        """

    def abort(self) -> None:
        """Drop the open batch."""

    def cover(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """End whatever hangs in these partitions of topics, and of inputs' offsets.

        For when no batch is open; see `runners.hanging`. `metadata`: of a consumer of the group.
        """

    def poll(self) -> None:
        """Let the producer hand over what it has to say: logs and statistics."""

    def close(self) -> None:
        """Let go of the broker; an open transaction is aborted."""


def produce_all(producer: Producer, topic: str, partition: int, outputs: Sequence[Output]) -> None:
    """Hand outputs over to the client; raises KafkaException."""
    produce = producer.produce
    for output in outputs:
        while True:
            try:
                if output.headers:
                    headers: list[Any] = output.headers
                    produce(topic, output.value, output.key, partition, headers=headers)
                else:
                    produce(topic, output.value, output.key, partition)
                break
            except BufferError:  # the local queue is full: wait for acknowledgements
                producer.poll(0.1)


class RetryPolicy:
    """What waiting for a broker has to heed."""

    def __init__(
        self,
        stopping: Event,
        beat: Callable[[], None],
        silence: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`beat`, a sign of life, may raise `Stop`; `silence`: seconds since a broker answered."""
        self._stopping = stopping
        self._beat = beat
        self._silence = silence

    def wait(self, producer: Producer, reason: str) -> None:
        """Before a call is made again; a worker that is to end does not wait for a broker."""
        self._heed(reason)
        producer.poll(0.1)

    def outlast(self, call: Callable[[], None], what: str) -> None:
        """Make a call that may last as long as an outage, with signs of life meanwhile.

        Raises what it raises; `Stop` where the worker is to end, or the outage lasts too long, or
        it does not come back though brokers answer.
        """
        pending, since = CallWithTimeout(call), time.monotonic()
        while not pending.returned(0.5):
            since = self.keep(since, what)
            if time.monotonic() - since > COMMIT_SECONDS:
                raise Stop(
                    f"{what} has had no answer for {COMMIT_SECONDS:g} s though brokers answer, and "
                    "the client cannot be asked anything else: start the worker again; it goes on "
                    "where it was"
                )

    def keep(self, since: float, what: str) -> float:
        """While an answer is awaited: a sign of life, and from when on brokers owe that answer.

        `since`: what it gave before, on the monotonic clock. Raises `Stop` where brokers are silent
        and the worker is to end, or they are for too long.
        """
        if self._silence() > 0:
            self._heed(f"{what} is not answered")
            return time.monotonic()
        self._beat()
        return since

    def _heed(self, reason: str) -> None:
        if self._stopping.is_set():
            raise Stop(
                f"stopped while Kafka did not answer ({reason}): the open batch does not count, "
                "and is worked off again at the next start"
            )
        self._beat()


def commit_offsets(
    consumer: GroupConsumer, offsets: Sequence[TopicPartition], patience: RetryPolicy
) -> None:
    """Commit as a member of the group; raises `Aborted` where the group refuses that.

    The call has no time-out: it lasts as long as the coordinator is silent. Until it returns,
    nothing else can be asked of the consumer, not even to close: confluent-kafka (2.16) waits.
    """
    if not consumer.memberid():
        raise Aborted("this worker is no member of its group at present")

    def commit() -> None:
        consumer.commit(offsets=list(offsets), asynchronous=False)

    try:
        patience.outlast(commit, "a commit of offsets")
    except KafkaException as raised:
        raise Aborted(f"the offsets were not committed: {raised.args[0].str()}") from raised


def leave_group(consumer: GroupConsumer, *, bounded: bool) -> None:
    """Close a consumer, so that others take over; its callbacks of the group are called meanwhile.

    `bounded`: not for ever, where brokers are silent or a call of it was given up. The group then
    finds out by the session's time.
    """
    if not within(LEAVE_SECONDS if bounded else None, consumer.close):
        _log.warning("the group could not be left in good order", extra={"waited": LEAVE_SECONDS})


def check_member(consumer: GroupConsumer, member: str) -> None:
    """Raise `Aborted` where the consumer is not, or no longer, that member of its group."""
    if not member or consumer.memberid() != member:
        raise Aborted("this worker is no longer the member of its group that it was")
