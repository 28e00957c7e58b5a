"""A batch's outputs and offsets in one Kafka transaction."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.records.record import BatchResult
from millstream.delivery.commit_backoff import CommitBackoff
from millstream.delivery.publisher import (
    COMMIT_SECONDS,
    Aborted,
    OutputTopics,
    ProducerLost,
    RetryPolicy,
    check_member,
    produce_all,
)
from millstream.errors import MillstreamError, Stop
from millstream.kafka.call_timeout import within
from millstream.kafka.group_consumer import GroupConsumer

INIT_SECONDS: Final = 5.0
"""So that a worker that is to stop need not wait for a broker to come back."""

CLOSE_SECONDS: Final = 2.0

COMMIT_CALL_SECONDS: Final = 1.0
"""How long a call to commit may last. Made again, it goes on with the same commit; in between, the
worker heeds signals and the limit of an outage. Without a time-out librdkafka (2.16) waits for as
long as brokers are silent: `transaction.timeout.ms` bounds every call but this and the abort."""

SMALL_RECORDS: Final = 256
"""Of a batch whose transaction is opened as it is committed; a larger one's is opened while most of
it is still to be computed, which hides what that takes."""


class ExactlyOnce:
    """Outputs and offsets in one Kafka transaction."""

    def __init__(
        self,
        config: dict[str, Any],
        names: OutputTopics,
        patience: RetryPolicy,
        ready: Producer | None = None,
    ) -> None:
        """Fences any older producer of the same transactional id, unless `ready`, which has."""
        self._patience = patience
        self._names = names
        self._producer = ready or Producer(config)
        self._seconds_of_a_transaction = config["transaction.timeout.ms"] / 1000
        self._open = False
        """Whether a transaction is open."""
        self._given_up = False
        """Whether the producer is of no more use; calls left behind in a thread then end, too."""
        self._began = time.monotonic()
        """When the latest one was begun."""
        self._records = 0
        """In the batch."""
        self._rest = CommitBackoff()
        self._rest_until = 0.0
        """When the next one may begin, on the monotonic clock."""
        if ready is None:
            self._retrying(lambda: self._producer.init_transactions(INIT_SECONDS))

    def rest(self) -> None:
        """Before a batch is fetched: leave the brokers time to end the last transaction."""
        if (left := self._rest_until - time.monotonic()) > 0:
            time.sleep(left)

    def write(self, partition: int, result: BatchResult) -> None:
        """Write a piece of the batch, so that it is on its way while the next one is computed."""
        self._records += result.taken
        producer, names = self._producer, self._names
        try:
            self._begin()
            produce_all(producer, names.predictions, partition, result.predictions)
            failpoints.reach("mid_produce", producer.flush)
            produce_all(producer, names.examples, partition, result.examples)
            produce_all(producer, names.models, partition, result.notes)
            produce_all(producer, names.dead_letters, partition, result.dead_letters)
        except KafkaException as raised:
            self._not_produced(raised)
        result.clear_outputs()

    def commit(
        self, offsets: Sequence[TopicPartition], member: str, consumer: GroupConsumer
    ) -> None:
        """Commit the batch with its offsets."""
        began, small = time.monotonic(), 0 < self._records <= SMALL_RECORDS
        try:
            self._begin()
            failpoints.reach("before_offsets", self._producer.flush)
            # Metadata of an empty member id is not fenced by the broker, so a worker that has
            # left the group, or came back to it as another member, must not send any.
            check_member(consumer, member)
            self._send_offsets(list(offsets), consumer.consumer_group_metadata())
            failpoints.reach("before_commit", self._producer.flush)
            self._commit_transaction()
            self._open, self._records = False, 0
            failpoints.reach("after_commit")
        except Aborted as aborted:
            if not isinstance(aborted, ProducerLost):
                self.abort()
            raise
        if small:
            ended = time.monotonic()
            self._rest.took(ended - began)
            self._rest_until = ended + self._rest.seconds

    def cover(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Abort a transaction that touches these partitions, and with it what hangs in them.

        For when no batch is open; see `runners.hanging`.
        """
        try:
            self._begin()
            for place in outputs:  # a key, since a compacted topic takes no record without
                self._producer.produce(place.topic, b"", b"aborted", place.partition)
            while self._producer.flush(1.0):  # what is not at the broker yet, an abort only forgets
                self._patience.wait(self._producer, "outputs are not acknowledged")
            self._send_offsets(list(offsets), metadata)
        except KafkaException as raised:
            self._not_produced(raised)
        except Aborted as failed:
            if not isinstance(failed, ProducerLost):
                self.abort()
            raise
        self.abort()

    def _not_produced(self, raised: KafkaException) -> NoReturn:
        """After `produce`, which does not say whether the transaction can still be aborted."""
        error: KafkaError = raised.args[0]
        if error.fatal() or error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise self._give_up(raised) from raised
        self.abort()
        raise Aborted(f"{error.name()}: {error.str()}") from raised

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

    def _commit_transaction(self) -> None:
        """Commit, however long brokers are silent; where they are not, within a minute."""
        since = time.monotonic()

        def commit() -> None:
            nonlocal since
            while True:
                try:
                    self._producer.commit_transaction(COMMIT_CALL_SECONDS)
                except KafkaException as raised:
                    error: KafkaError = raised.args[0]
                    timed_out = error.code() == KafkaError._TIMED_OUT  # noqa: SLF001 - its public name
                    if not timed_out or not error.retriable():
                        raise
                else:
                    return
                since = self._patience.keep(since, "a commit")
                if time.monotonic() - since > COMMIT_SECONDS:
                    raise self._lost("a commit has had no answer though brokers answer")

        self._retrying(commit)

    def _retrying(self, call: Callable[[], object]) -> None:
        """Call until it is done: no time-out of ours cuts a commit short."""
        while True:
            try:
                call()
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.txn_requires_abort():
                    raise Aborted(error.str()) from raised
                if error.retriable() and not self._given_up:
                    self._patience.wait(self._producer, error.str())
                    continue
                raise self._give_up(raised) from raised
            return

    def abort(self) -> None:
        """Abort, or give the producer up where the broker does not answer to that either."""
        self._records = 0
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
        self._given_up = True
        return ProducerLost(why, time.monotonic() - self._began)
