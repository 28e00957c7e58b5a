"""Publishing with exactly-once: a batch's outputs and offsets in one Kafka transaction."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.records.record import BatchResult
from millstream.delivery.commit_backoff import CommitBackoff
from millstream.delivery.publisher import Aborted, OutputTopics, ProducerLost
from millstream.delivery.retry import COMMIT_SECONDS, RetryPolicy, check_member
from millstream.errors import MillstreamError, Stop
from millstream.kafka.call_timeout import call_with_timeout
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.producer import produce, retry

INIT_SECONDS: Final = 5.0
"""Short, so that a worker that is stopping does not wait for a broker to come back."""

CLOSE_SECONDS: Final = 2.0

COMMIT_CALL_SECONDS: Final = 1.0
"""How long a call to commit may last. A repeated call continues the same commit; in between, the
worker heeds signals and the limit of an outage. Without a time-out librdkafka (2.16) waits for as
long as brokers are silent: `transaction.timeout.ms` bounds every call but this and the abort."""

SMALL_RECORDS: Final = 256
"""Size of a batch whose transaction begins only as it is committed. That of a larger one begins
while most of it is still to be computed, which hides the time that it takes."""


class ExactlyOnce:
    """Writes outputs and offsets in one Kafka transaction."""

    transactional = True

    def __init__(
        self,
        config: dict[str, Any],
        names: OutputTopics,
        retry_policy: RetryPolicy,
        ready: Producer | None = None,
    ) -> None:
        """Fences any older producer of the same transactional id; `ready` has done so already."""
        self._retry_policy = retry_policy
        self._names = names
        self._producer = ready or Producer(config)
        self._transaction_seconds = config["transaction.timeout.ms"] / 1000
        self._open = False
        """Whether a transaction is open."""
        self._given_up = False
        """Whether the producer must be replaced; calls left in a thread then end, too."""
        self._began = time.monotonic()
        """When the latest transaction began."""
        self._records = 0
        """In the batch."""
        self._backoff = CommitBackoff()
        self._next_at = 0.0
        """When the next transaction may begin, on the monotonic clock."""
        if ready is None:
            self._retrying(lambda: self._producer.init_transactions(INIT_SECONDS))

    def epoch_log(self) -> None:
        """None: transactions fence the old owner."""

    def back_off(self) -> None:
        """Wait until brokers have had the time to end the last transaction."""
        if (left := self._next_at - time.monotonic()) > 0:
            time.sleep(left)

    def write(self, partition: int, result: BatchResult) -> None:
        """Write a chunk of the batch, so that it is sent while the next one is computed."""
        self._records += result.taken
        producer, names = self._producer, self._names
        try:
            self._begin()
            produce(producer, names.predictions, partition, result.predictions)
            failpoints.reach("mid_produce", producer.flush)
            produce(producer, names.examples, partition, result.examples)
            produce(producer, names.models, partition, result.notes)
            produce(producer, names.dead_letters, partition, result.dead_letters)
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
            # The broker does not fence the metadata of an empty member id, so a worker that has
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
            self._backoff.took(ended - began)
            self._next_at = ended + self._backoff.seconds

    def abort_over(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Abort a transaction over these partitions, which ends those that hang in them.

        Only while no batch is open; see `delivery.hanging_transactions`.
        """
        try:
            self._begin()
            for place in outputs:  # a key, since a compacted topic takes no record without
                self._producer.produce(place.topic, b"", b"aborted", place.partition)
            while self._producer.flush(1.0):  # an abort drops what the broker has not got yet
                self._retry_policy.wait(self._producer, "outputs are not acknowledged")
            self._send_offsets(list(offsets), metadata)
        except KafkaException as raised:
            self._not_produced(raised)
        except Aborted as failed:
            if not isinstance(failed, ProducerLost):
                self.abort()
            raise
        self.abort()

    def _not_produced(self, raised: KafkaException) -> NoReturn:
        """Abort after a failed `produce`, which does not say whether that is still possible."""
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
        """Let the producer deliver its logs and statistics."""
        self._producer.poll(0)

    def close(self) -> None:
        """Abort an open transaction: readers would wait for it until it times out.

        The next producer of this transactional id ends what a crash leaves open.
        """
        if self._open:
            with suppress(KafkaException, MillstreamError):  # a producer that was fenced refuses
                call_with_timeout(CLOSE_SECONDS, self._retry_abort)
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(1)

    def _send_offsets(self, offsets: list[TopicPartition], metadata: object) -> None:
        """Send the offsets, and give the producer up where the call does not return.

        In librdkafka (2.14 to 2.16 at least) it waits for ever, whatever its time-out, when the
        group's coordinator was away: issues 5456 and 5511 of confluentinc/librdkafka.
        """
        done = call_with_timeout(
            self._transaction_seconds,
            lambda: self._retrying(
                lambda: self._producer.send_offsets_to_transaction(offsets, metadata)
            ),
        )
        if not done:
            raise self._lost("the offsets were not taken within the time of a transaction")

    def _commit_transaction(self) -> None:
        """Commit, however long brokers are silent; where they are not, within a minute."""
        since = time.monotonic()

        def wait(error: KafkaError) -> bool:
            nonlocal since
            if error.code() != KafkaError._TIMED_OUT:  # noqa: SLF001 - its public name
                return self._wait(error)
            since = self._retry_policy.check(since, "a commit")
            if time.monotonic() - since > COMMIT_SECONDS:
                raise self._lost("a commit has had no answer though brokers answer")
            return True

        self._retrying(lambda: self._producer.commit_transaction(COMMIT_CALL_SECONDS), wait)

    def _wait(self, error: KafkaError) -> bool:
        """Wait before a call is repeated; False for a producer that was given up."""
        if self._given_up:
            return False
        self._retry_policy.wait(self._producer, error.str())
        return True

    def _retrying(
        self, call: Callable[[], object], wait: Callable[[KafkaError], bool] | None = None
    ) -> None:
        """Repeat a call until it succeeds or fails for good: no time-out of ours cuts it short."""
        try:
            retry(call, wait or self._wait)
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if error.txn_requires_abort():
                raise Aborted(error.str()) from raised
            raise self._give_up(raised) from raised

    def abort(self) -> None:
        """Abort; give the producer up where the broker does not answer to that either."""
        self._records = 0
        if not self._open:
            return
        if not call_with_timeout(self._transaction_seconds, self._retry_abort):
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
        self._open = False  # this producer cannot end whatever is open
        self._given_up = True
        return ProducerLost(why, time.monotonic() - self._began)
