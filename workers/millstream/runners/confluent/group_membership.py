"""The partitions of a worker: assignment, restore, fetch positions, release.

Only `events` is subscribed to. Partition p of `labels` is assigned by hand together with partition
p of `events`: the group's assignor may give the two to different members. A partition stays paused
until it is restored, while the loop keeps polling.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import InputName
from millstream.delivery.publisher import Aborted
from millstream.delivery.retry import RetryPolicy, commit_offsets
from millstream.errors import Stop
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.group_offsets import OWNER, committed_offsets
from millstream.kafka.log_reader import HOPELESS
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.end_offsets import EndOffsets
from millstream.runners.confluent.flow_control import FlowControl
from millstream.runners.confluent.message_sorter import MessageSorter
from millstream.state.partition import Partition
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import KafkaRestoreContext
from millstream.state.restore_steps import RestoreResult, Skips

log = logging.getLogger(__name__)

GONE_SECONDS = 30.0
RETRY_SECONDS = 0.5
"""Between two tries at a restore."""


class RestoreHooks(Protocol):
    """The work of others around the restore and the release of a partition."""

    def before_restore(self, partition: int) -> None:
        """End what this worker left open; KafkaException and `Aborted` delay the restore."""

    def while_restoring(
        self, partition: int, progress: object, committed: Callable[[int], object]
    ) -> bool:
        """Unblock a restore whose `progress` stands still; True if others should go first.

        `committed`: asks for the partition's offsets; raises KafkaException.
        """

    def before_release(self, partitions: list[Partition]) -> None:
        """Take last snapshots of partitions while they are still this worker's."""


class GroupMembership:
    """The partitions that the group assigned to this worker."""

    def __init__(
        self,
        consumer: GroupConsumer,
        context: KafkaRestoreContext,
        topics: Mapping[InputName, str],
        hooks: RestoreHooks,
        metrics: Metrics,
        patience: RetryPolicy,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self.losses = 0
        """How often partitions were taken from this worker without its consent."""
        self._consumer = consumer
        self._restorer = context
        self._topics = topics
        self._hooks = hooks
        self._metrics = metrics
        self._patience = patience
        self.ends = EndOffsets(consumer, topics)
        self.flow = FlowControl(consumer, topics)
        self.sorter = MessageSorter(topics, self.partitions)
        self._queue: deque[Partition] = deque()
        self._retry_at = 0.0
        self._failing_since = 0.0

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topics["events"]],
            on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost,
        )  # fmt: skip

    def joined(self) -> bool:
        """Whether the worker is a member of its group."""
        return bool(self._consumer.memberid())

    def restored(self) -> int:
        """The number of partitions that are ready."""
        return sum(partition.processor is not None for partition in self.partitions.values())

    # -- rebalances ---------------------------------------------------------------------------

    def _on_assign(self, consumer: GroupConsumer, assigned: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("assigned")
        log.info("partitions assigned", extra={"partitions": [a.partition for a in assigned]})
        # The start position is known after the restore; until then nothing is fetched.
        positions = self._restorer.bounds.ends(
            [TopicPartition(t, each.partition) for each in assigned for t in self._topics.values()],
        )
        consumer.incremental_assign(positions)
        for each in assigned:
            partition = self.partitions[each.partition] = Partition(each.partition)
            self._queue.append(partition)
        self.flow.say_again(self.partitions.values())

    def _on_revoke(self, consumer: GroupConsumer, revoked: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("revoked")
        ours = [self.partitions[each.partition] for each in revoked
                if each.partition in self.partitions]  # fmt: skip
        self._hooks.before_release(ours)
        self._drop(consumer, revoked)

    def _on_lost(self, consumer: GroupConsumer, lost: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("lost")
        self.losses += 1
        self._drop(consumer, lost)

    def _drop(self, consumer: GroupConsumer, gone: list[TopicPartition]) -> None:
        """Remove partitions. Callbacks come between batches, so nothing of them is open."""
        log.info("partitions revoked", extra={"partitions": [g.partition for g in gone]})
        consumer.incremental_unassign(
            [TopicPartition(t, each.partition) for each in gone for t in self._topics.values()]
        )
        for each in gone:
            partition = self.partitions.pop(each.partition, None)
            if partition is not None:
                self._release(partition)
            self._metrics.partitions.remove_partition(each.partition)
        self.flow.say_again(self.partitions.values())
        failpoints.reach("in_revoke")

    def _release(self, partition: Partition) -> None:
        if partition.processor is None:
            self._queue.remove(partition)
        else:
            self._log_release(partition, partition.processor)
        partition.released()

    def _log_release(self, partition: Partition, processor: PartitionProcessor) -> None:
        log.info(
            "shard released",
            extra={
                "partition": partition.number,
                "positions": dict(partition.positions),
                "learned": processor.learned,
                "waiting": processor.pending(),
                "digest": processor.learner.digest() if processor.learner.traits.learns else None,
            },
        )

    # -- restores -----------------------------------------------------------------------------

    def restart(self, partition: Partition, skips: Skips | None = None) -> None:
        """Discard the processor and restore it; nothing in memory can be undone."""
        if partition.is_released:
            return
        if partition.is_running:
            self._queue.append(partition)
        partition.invalidated(skips)
        self.flow.stop(partition)

    def restore_some(self, seconds: float) -> bool:
        """Continue restores for about `seconds`; True if some are left. Raises `Stop`."""
        until = time.monotonic() + seconds
        while self._queue and self._retry_at <= time.monotonic() < until:
            partition = self._queue[0]
            try:
                self._restore_step(partition, min(0.05, seconds))
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.fatal() or error.code() in HOPELESS:
                    raise Stop(
                        f"partition {partition.number} cannot be restored: {error.str()}"
                    ) from raised
                # From the beginning at the next turn: the records read so far prove nothing.
                log.warning("restore begins again", extra={"reason": error.str()})
                partition.invalidated()
                self._retry_at = time.monotonic() + RETRY_SECONDS
                self._give_up_after(partition, error)
            except Aborted as refused:
                log.warning("restore begins again", extra={"reason": str(refused)})
                partition.invalidated()
                self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._queue:
            self._unblock(self._queue[0])
        return bool(self._queue)

    def _unblock(self, partition: Partition) -> None:
        """Unblock a restore that stands still; one that stays blocked goes behind the others."""
        progress = None if partition.restore is None else partition.restore.progress()
        if self._hooks.while_restoring(
            partition.number,
            progress,
            lambda number: committed_offsets(self._consumer, self._topics, number),
        ):
            partition.invalidated()
            self._queue.rotate(-1)

    def _give_up_after(self, partition: Partition, error: KafkaError) -> None:
        """Raise `Stop` if topics are gone for long; for a moment, brokers say so of any topic."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        gone = error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID)
        if gone and now - self._failing_since > GONE_SECONDS:
            raise Stop(
                f"partition {partition.number} cannot be restored: for {GONE_SECONDS:g} s the "
                f"brokers have not known one of its topics ({error.str()}): run millstream check"
            )

    def _restore_step(self, partition: Partition, timeout: float) -> None:
        restore = partition.restore or self._begin_restore(partition)
        result = restore.step(timeout)
        if result is not None:
            self._begin(partition, restore, result)
            self._queue.popleft()
            self._failing_since = 0.0

    def _begin_restore(self, partition: Partition) -> PartitionRestore:
        self._hooks.before_restore(partition.number)
        return partition.restoring(
            self._restorer, *committed_offsets(self._consumer, self._topics, partition.number)
        )

    def _begin(
        self, partition: Partition, restore: PartitionRestore, result: RestoreResult
    ) -> None:
        """Fetch from the positions of the restored processor."""
        positions = self._offsets(partition.number, result.processor, result.positions)
        if self._restorer.claims and self._restorer.late:
            # Our epoch counts from now on: the group refuses this commit to a former member.
            commit_offsets(self._consumer, positions, self._patience)
        self.flow.begin(partition, positions)
        partition.ready(result)
        # A start without a committed offset is committed at once: else an app that starts at the
        # latest event would start at another one after each restart.
        partition.committed_at = time.monotonic() if restore.all_committed() else -math.inf

    # -- fetching -----------------------------------------------------------------------------

    def fetch(self, limit: int, timeout: float) -> list[Any]:
        """Up to `limit` available messages, for `sorter`; rebalance callbacks run in this call.

        Waits for the first for at most `timeout` seconds, for no further one.
        """
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        messages: list[Any] = [first]
        if limit > 1:
            messages += self._consumer.consume(limit - 1, 0)
        return messages

    def offsets(self, partition: Partition) -> list[TopicPartition]:
        """The offsets to commit for a partition: of both inputs, moved or not."""
        return self._offsets(partition.number, partition.processor, partition.positions)

    def _offsets(
        self,
        number: int,
        processor: PartitionProcessor | None,
        positions: Mapping[InputName, int],
    ) -> list[TopicPartition]:
        owner = processor.epoch if processor else 0
        name = f"{OWNER}{owner}" if owner else ""
        return [
            TopicPartition(self._topics[each], number, offset, metadata=name)
            for each, offset in positions.items()
        ]
