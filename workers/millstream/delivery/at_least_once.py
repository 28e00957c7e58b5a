"""Publishing at least once: a batch's outputs and, once they are acknowledged, its offsets."""

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.records.outputs import owner_record
from millstream.core.records.record import BatchResult
from millstream.delivery.publisher import Aborted, OutputTopics
from millstream.delivery.retry import RetryPolicy, check_member, commit_offsets
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.producer import produce
from millstream.state.ports import EpochLog


class AtLeastOnce:
    """Writes outputs, then commits offsets; also the epoch log of new owners."""

    transactional = False

    def __init__(
        self, config: dict[str, Any], names: OutputTopics, retry_policy: RetryPolicy
    ) -> None:
        """Connects when the first message is written."""
        self._retry_policy = retry_policy
        self._names = names
        self._failed: KafkaError | None = None
        self._open: list[tuple[int, BatchResult]] = []
        self._deferred = False
        """Whether the open batch's predictions are written only after its dead letters."""
        self._producer = Producer(
            {**config, "on_delivery": self._on_delivery, "delivery.report.only.error": True}
        )

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = error

    def epoch_log(self) -> EpochLog:
        """Return itself: no transaction fences the old owner."""
        return self

    def back_off(self) -> None:
        """Do nothing: there is no transaction to end."""

    def write(self, partition: int, result: BatchResult) -> None:
        """Write a chunk's predictions at once, and keep its other outputs until the commit.

        So they are sent while the next chunk is computed. After a dead letter they are kept as
        well, since later restores rely on this: where a prediction is in the log, so are the dead
        letters before it; where an example is, so is its prediction.
        """
        self._open.append((partition, result))
        self._deferred = self._deferred or bool(result.notes or result.dead_letters)
        if not self._deferred:
            produce(self._producer, self._names.predictions, partition, result.predictions)
            result.predictions.clear()

    def commit(
        self, offsets: Sequence[TopicPartition], member: str, consumer: GroupConsumer
    ) -> None:
        """Write the remaining outputs, then commit the offsets."""
        names, producer, results = self._names, self._producer, self._open
        self._open = []
        if self._deferred:
            self._deferred = False
            for partition, result in results:
                produce(producer, names.models, partition, result.notes)
                produce(producer, names.dead_letters, partition, result.dead_letters)
            self._flush()
            for partition, result in results:
                produce(producer, names.predictions, partition, result.predictions)
        self._flush()
        failpoints.reach("mid_produce")
        if any(result.examples for _, result in results):
            for partition, result in results:
                produce(producer, names.examples, partition, result.examples)
            self._flush()
        for _, result in results:
            result.clear_outputs()
        failpoints.reach("before_offsets")
        check_member(consumer, member)
        failpoints.reach("before_commit")
        commit_offsets(consumer, offsets, self._retry_policy)
        failpoints.reach("after_commit")

    def abort(self) -> None:
        """Drop the open batch; predictions already sent arrive before a restore reads."""
        self._open.clear()
        self._deferred = False
        self._flush()

    def abort_over(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Do nothing: there are no transactions."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait for its acknowledgement."""
        record = owner_record(owner, after, time.time_ns() // 1_000_000)
        produce(self._producer, self._names.examples, partition, [record])
        self._flush()

    def poll(self) -> None:
        """Let the producer deliver its logs and statistics."""
        self._producer.poll(0)

    def close(self) -> None:
        """Disconnect; nothing is unacknowledged between two commits."""
        self._producer.flush(1)

    def _flush(self) -> None:
        while self._producer.flush(10.0):
            self._retry_policy.wait(self._producer, "outputs are not acknowledged")
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise Aborted(f"an output was not delivered: {failed.name()}: {failed.str()}")
