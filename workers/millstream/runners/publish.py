"""Performs outcomes: all of a batch's outputs and offsets, or nothing.

`ExactlyOnce` does so in a transaction. `AtLeastOnce` writes, waits for the acknowledgements and
then commits the offsets: a crash between the two repeats outputs, while what is learned stays
exactly-once because the fold goes by source positions.

Every failure has one of three owners. `Aborted`: nothing of the batch counts, its shards are to be
restored. `ProducerLost`: the same, and the producer is of no more use. `Stop`: nothing helps.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from millstream.core.outputs import owner_record
from millstream.core.records import Outcome, Output
from millstream.errors import MillstreamError, Stop
from millstream.runners import failpoints
from millstream.runners.bounded import within

INIT_SECONDS: Final = 5.0
"""So that a worker that is to stop need not wait for a broker to come back."""

CLOSE_SECONDS: Final = 2.0


class Aborted(MillstreamError):
    """The batch does not count; restore its shards and go on from the committed offsets."""


class ProducerLost(Aborted):
    """The producer is dead (fenced, or its transaction timed out): it has to be built again."""

    def __init__(self, why: str, seconds: float) -> None:
        """`seconds`: since its transaction began."""
        super().__init__(why)
        self.seconds = seconds


class Names(NamedTuple):
    """The topics that outputs go to."""

    predictions: str
    examples: str
    models: str
    dead_letters: str


class Publisher(Protocol):
    """What the loop knows of either guarantee; each method raises `Aborted` or `Stop`."""

    def write(self, partition: int, outcome: Outcome) -> None:
        """Take the outputs of a piece of the open batch; they leave `outcome`."""

    def commit(self, offsets: Sequence[TopicPartition], member: str, consumer: Consumer) -> None:
        """Make the open batch count.

        `offsets`: where the group's positions are afterwards, of events and of labels, moved or
        not; `member`: the consumer's member id when the batch was fetched, empty where it was in no
        group.
        """

    def abort(self) -> None:
        """Drop the open batch."""

    def poll(self) -> None:
        """Let the producer hand over what it has to say: logs and statistics."""

    def close(self) -> None:
        """Let go of the broker; an open transaction is aborted."""


def _produce(producer: Producer, topic: str, partition: int, outputs: Sequence[Output]) -> None:
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


def commit_offsets(consumer: Consumer, offsets: Sequence[TopicPartition]) -> None:
    """Commit as a member of the group; raises `Aborted` where the group refuses that."""
    if not consumer.memberid():
        raise Aborted("this worker is no member of its group at present")
    try:
        consumer.commit(offsets=list(offsets), asynchronous=False)
    except KafkaException as raised:
        raise Aborted(f"the offsets were not committed: {raised.args[0].str()}") from raised


class Patience:
    """What waiting for a broker has to heed; `beat` may raise `Stop`."""

    def __init__(self, stopping: Event, beat: Callable[[], None]) -> None:
        self._stopping = stopping
        self._beat = beat

    def wait(self, producer: Producer, reason: str) -> None:
        """Before a call is made again; a worker that is to end does not wait for a broker."""
        if self._stopping.is_set():
            raise Stop(
                f"stopped while Kafka did not answer ({reason}): the open batch does not count, "
                "and is worked off again at the next start"
            )
        self._beat()
        producer.poll(0.1)


def _check_member(consumer: Consumer, member: str) -> None:
    if not member or consumer.memberid() != member:
        raise Aborted("this worker is no longer the member of its group that it was")


class ExactlyOnce:
    """Outputs and offsets in one Kafka transaction."""

    def __init__(self, config: dict[str, Any], names: Names, patience: Patience) -> None:
        """Fences any older producer of the same transactional id."""
        self._patience = patience
        self._names = names
        self._producer = Producer(config)
        self._seconds_of_a_transaction = config["transaction.timeout.ms"] / 1000
        self._open = False
        """Whether a transaction is open."""
        self._began = time.monotonic()
        """When the latest one was begun."""
        self._retrying(lambda: self._producer.init_transactions(INIT_SECONDS))

    def write(self, partition: int, outcome: Outcome) -> None:
        """Write a piece of the batch, so that it is on its way while the next one is computed."""
        producer, names = self._producer, self._names
        try:
            self._begin()
            _produce(producer, names.predictions, partition, outcome.predictions)
            failpoints.reach("mid_produce", producer.flush)
            _produce(producer, names.examples, partition, outcome.examples)
            _produce(producer, names.models, partition, outcome.notes)
            _produce(producer, names.dead_letters, partition, outcome.dead_letters)
        except KafkaException as raised:
            # From `produce`, which does not say whether the transaction can still be aborted.
            error: KafkaError = raised.args[0]
            if error.fatal() or error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise self._give_up(raised) from raised
            self.abort()
            raise Aborted(f"{error.name()}: {error.str()}") from raised
        outcome.clear_outputs()

    def commit(self, offsets: Sequence[TopicPartition], member: str, consumer: Consumer) -> None:
        """Commit the batch with its offsets."""
        try:
            self._begin()
            failpoints.reach("before_offsets", self._producer.flush)
            # Metadata of an empty member id is not fenced by the broker, so a worker that has
            # left the group, or came back to it as another member, must not send any.
            _check_member(consumer, member)
            self._send_offsets(list(offsets), consumer.consumer_group_metadata())
            failpoints.reach("before_commit", self._producer.flush)
            self._retrying(self._producer.commit_transaction)
            self._open = False
            failpoints.reach("after_commit")
        except Aborted as aborted:
            if not isinstance(aborted, ProducerLost):
                self.abort()
            raise

    def cover(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Abort a transaction that touches these partitions, and with it what hangs in them.

        For when no batch is open; see `runners.hanging`.
        """
        self._begin()
        try:
            for place in outputs:  # a key, since a compacted topic takes no record without
                self._producer.produce(place.topic, b"", b"aborted", place.partition)
            while self._producer.flush(1.0):  # what is not at the broker yet, an abort only forgets
                self._patience.wait(self._producer, "outputs are not acknowledged")
            self._send_offsets(list(offsets), metadata)
        finally:
            self.abort()

    def _begin(self) -> None:
        if not self._open:
            self._retrying(self._producer.begin_transaction)
            self._open, self._began = True, time.monotonic()

    def poll(self) -> None:
        """Take what the producer has to say: logs and statistics."""
        self._producer.poll(0)

    def close(self) -> None:
        """Leave no transaction open: that would hold readers up until it times out.

        What a crash leaves open, the next producer of this transactional id ends.
        """
        if self._open:
            with suppress(KafkaException, MillstreamError):  # a producer that was fenced refuses
                within(CLOSE_SECONDS, self._retry_abort)
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(1)

    def _send_offsets(self, offsets: list[TopicPartition], metadata: object) -> None:
        """Send the offsets, and give the producer up where the call does not come back.

        In librdkafka (2.14 to 2.16 at least) it waits for ever, whatever its time-out, when the
        group's coordinator was away: issues 5456 and 5511 of confluentinc/librdkafka.
        """
        done = within(
            self._seconds_of_a_transaction,
            lambda: self._retrying(
                lambda: self._producer.send_offsets_to_transaction(offsets, metadata)
            ),
        )
        if not done:
            raise self._lost("the offsets were not taken within the time of a transaction")

    def _retrying(self, call: Callable[[], object]) -> None:
        """Call until it is done: no time-out of ours cuts a commit or an abort short."""
        while True:
            try:
                call()
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.txn_requires_abort():
                    raise Aborted(error.str()) from raised
                if error.retriable():
                    self._patience.wait(self._producer, error.str())
                    continue
                raise self._give_up(raised) from raised
            return

    def abort(self) -> None:
        """Abort, or give the producer up where the broker does not answer to that either."""
        if not self._open:
            return
        if not within(self._seconds_of_a_transaction, self._retry_abort):
            raise self._lost("the transaction could not be aborted in its time")
        self._open = False

    def _retry_abort(self) -> None:
        self._retrying(self._producer.abort_transaction)

    def _give_up(self, raised: KafkaException) -> MillstreamError:
        error: KafkaError = raised.args[0]
        if error.fatal():
            return self._lost(f"{error.name()}: {error.str()}")
        return Stop(f"Kafka refuses the transaction: {error.name()}: {error.str()}")

    def _lost(self, why: str) -> ProducerLost:
        self._open = False  # whatever is open, this producer cannot end it
        return ProducerLost(why, time.monotonic() - self._began)


class AtLeastOnce:
    """Outputs, then offsets."""

    def __init__(self, config: dict[str, Any], names: Names, patience: Patience) -> None:
        """Connects when the first message is written."""
        self._patience = patience
        self._names = names
        self._failed: KafkaError | None = None
        self._open: list[tuple[int, Outcome]] = []
        self._producer = Producer(
            {**config, "on_delivery": self._on_delivery, "delivery.report.only.error": True}
        )

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = error

    def write(self, partition: int, outcome: Outcome) -> None:
        """Keep a piece of the batch until the commit, because of the order it has to be written in.

        What later restores rely on: where a prediction stands, the dead letters before it stand as
        well; where an example does, the prediction that it was made of.
        """
        self._open.append((partition, outcome))

    def commit(self, offsets: Sequence[TopicPartition], member: str, consumer: Consumer) -> None:
        """Write the batch, then commit its offsets."""
        names, producer, outcomes = self._names, self._producer, self._open
        self._open = []
        if any(outcome.notes or outcome.dead_letters for _, outcome in outcomes):
            for partition, outcome in outcomes:
                _produce(producer, names.models, partition, outcome.notes)
                _produce(producer, names.dead_letters, partition, outcome.dead_letters)
            self._flush()
        for partition, outcome in outcomes:
            _produce(producer, names.predictions, partition, outcome.predictions)
        self._flush()
        failpoints.reach("mid_produce")
        if any(outcome.examples for _, outcome in outcomes):
            for partition, outcome in outcomes:
                _produce(producer, names.examples, partition, outcome.examples)
            self._flush()
        for _, outcome in outcomes:
            outcome.clear_outputs()
        failpoints.reach("before_offsets")
        _check_member(consumer, member)
        failpoints.reach("before_commit")
        commit_offsets(consumer, offsets)
        failpoints.reach("after_commit")

    def abort(self) -> None:
        """Drop the open batch, of which nothing is written yet."""
        self._open.clear()

    def cover(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Nothing to do: there are no transactions."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there."""
        record = owner_record(owner, after, time.time_ns() // 1_000_000)
        _produce(self._producer, self._names.examples, partition, [record])
        self._flush()

    def poll(self) -> None:
        """Take what the producer has to say: logs and statistics."""
        self._producer.poll(0)

    def close(self) -> None:
        """Nothing is unacknowledged between two commits."""
        self._producer.flush(1)

    def _flush(self) -> None:
        while self._producer.flush(10.0):
            self._patience.wait(self._producer, "outputs are not acknowledged")
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise Aborted(f"an output was not delivered: {failed.name()}: {failed.str()}")
