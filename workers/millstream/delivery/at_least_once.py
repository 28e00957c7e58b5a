"""A batch's outputs, and once they are acknowledged, its offsets."""

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.records.outputs import owner_record
from millstream.core.records.record import BatchResult
from millstream.delivery.publisher import (
    Aborted,
    OutputTopics,
    RetryPolicy,
    check_member,
    commit_offsets,
    produce_all,
)
from millstream.kafka.group_consumer import GroupConsumer


class AtLeastOnce:
    """Outputs, then offsets."""

    def __init__(self, config: dict[str, Any], names: OutputTopics, patience: RetryPolicy) -> None:
        """Connects when the first message is written."""
        self._patience = patience
        self._names = names
        self._failed: KafkaError | None = None
        self._open: list[tuple[int, BatchResult]] = []
        self._held = False
        """Whether the predictions of the open batch wait for its dead letters."""
        self._producer = Producer(
            {**config, "on_delivery": self._on_delivery, "delivery.report.only.error": True}
        )

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = error

    def rest(self) -> None:
        """Nothing to wait for."""

    def write(self, partition: int, result: BatchResult) -> None:
        """Write the predictions of a piece at once, and keep the rest until the commit.

        So they are on their way while the next piece is computed. Not so behind a dead letter,
        because of what later restores rely on: where a prediction stands, the dead letters before
        it stand as well; where an example does, the prediction that it was made of.
        """
        self._open.append((partition, result))
        self._held = self._held or bool(result.notes or result.dead_letters)
        if not self._held:
            produce_all(self._producer, self._names.predictions, partition, result.predictions)
            result.predictions.clear()

    def commit(
        self, offsets: Sequence[TopicPartition], member: str, consumer: GroupConsumer
    ) -> None:
        """Write what is left of the batch, then commit its offsets."""
        names, producer, results = self._names, self._producer, self._open
        self._open = []
        if self._held:
            self._held = False
            for partition, result in results:
                produce_all(producer, names.models, partition, result.notes)
                produce_all(producer, names.dead_letters, partition, result.dead_letters)
            self._flush()
            for partition, result in results:
                produce_all(producer, names.predictions, partition, result.predictions)
        self._flush()
        failpoints.reach("mid_produce")
        if any(result.examples for _, result in results):
            for partition, result in results:
                produce_all(producer, names.examples, partition, result.examples)
            self._flush()
        for _, result in results:
            result.clear_outputs()
        failpoints.reach("before_offsets")
        check_member(consumer, member)
        failpoints.reach("before_commit")
        commit_offsets(consumer, offsets, self._patience)
        failpoints.reach("after_commit")

    def abort(self) -> None:
        """Drop the open batch; predictions that are on their way arrive before a restore reads."""
        self._open.clear()
        self._held = False
        self._flush()

    def cover(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """Nothing to do: there are no transactions."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there."""
        record = owner_record(owner, after, time.time_ns() // 1_000_000)
        produce_all(self._producer, self._names.examples, partition, [record])
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
