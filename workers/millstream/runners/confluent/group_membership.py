"""The worker's place in its consumer group: which partitions it has, and where each of them is.

Only `events` is subscribed to. Partition p of `labels` comes and goes with partition p of
`events`, by hand: the group's assignor may well give the two to different members. A partition
stays paused until its shard is restored, while the loop keeps polling.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream import _failpoints as failpoints
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.partition_processor import PartitionProcessor
from millstream.core.records.record import InputName, Record
from millstream.delivery.publisher import Aborted, RetryPolicy, commit_offsets
from millstream.errors import Stop
from millstream.kafka.committed_offsets import OWNER, committed_offsets
from millstream.kafka.log_reader import HOPELESS, to_record
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.end_offsets import EndOffsets
from millstream.runners.confluent.flow_control import FlowControl
from millstream.state.partition import Partition, Skips
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import KafkaRestoreContext

log = logging.getLogger(__name__)

GONE_SECONDS = 30.0
RETRY_SECONDS = 0.5
"""Between two tries at a restore."""


class GroupMembership:
    """Partitions come, are restored, are worked on, and go."""

    def __init__(
        self,
        consumer: Consumer,
        context: KafkaRestoreContext,
        metrics: Metrics,
        patience: RetryPolicy,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self.before_release: Callable[[list[Partition]], None] = lambda _: None
        """Called with partitions that are about to be given away, while they are still ours."""
        self.losses = 0
        """How often partitions were taken from this worker without its consent."""
        self._consumer = consumer
        self._restorer = context
        self._metrics = metrics
        self._patience = patience
        self.topics = context.settings.inputs
        self.ends = EndOffsets(consumer, self.topics)
        self.flow = FlowControl(consumer, self.topics)
        self._queue: deque[Partition] = deque()
        self._retry_at = 0.0
        self._failing_since = 0.0
        self.mend: Callable[[int, object, Callable[[int], object]], bool] = lambda *_: False
        """Called while a partition is restored; see `HangingTransactions.mend`."""
        self.before_restore: Callable[[int], object] = lambda _: None
        """Called with each; may raise KafkaException and `Aborted`: then it has to wait."""

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self.topics["events"]],
            on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost,
        )  # fmt: skip

    def joined(self) -> bool:
        """Whether the group knows this worker."""
        return bool(self._consumer.memberid())

    def restored(self) -> int:
        """How many partitions are ready to be worked on."""
        return sum(partition.processor is not None for partition in self.partitions.values())

    # -- rebalances ---------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("assigned")
        log.info("partitions assigned", extra={"partitions": [a.partition for a in assigned]})
        # The true position is known after the restore; until then nothing is fetched.
        places = self._restorer.bounds.ends(
            [TopicPartition(t, each.partition) for each in assigned for t in self.topics.values()],
        )
        consumer.incremental_assign(places)
        for each in assigned:
            partition = self.partitions[each.partition] = Partition(each.partition)
            self._queue.append(partition)
        self.flow.say_again(self.partitions.values())

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("revoked")
        ours = [self.partitions[each.partition] for each in revoked
                if each.partition in self.partitions]  # fmt: skip
        self.before_release(ours)
        self._drop(consumer, revoked)

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        self._metrics.count_rebalance("lost")
        self.losses += 1
        self._drop(consumer, lost)

    def _drop(self, consumer: Consumer, gone: list[TopicPartition]) -> None:
        """Forget partitions. Callbacks come between batches, so nothing of them is open."""
        log.info("partitions revoked", extra={"partitions": [g.partition for g in gone]})
        consumer.incremental_unassign(
            [TopicPartition(t, each.partition) for each in gone for t in self.topics.values()]
        )
        for each in gone:
            partition = self.partitions.pop(each.partition, None)
            if partition is not None:
                self._release(partition)
            self._metrics.remove_partition(each.partition)
        self.flow.say_again(self.partitions.values())
        failpoints.reach("in_revoke")

    def _release(self, partition: Partition) -> None:
        if partition in self._queue:
            self._queue.remove(partition)
        processor = partition.processor
        if processor is not None:
            self._log_release(partition, processor)
        if partition.kept is not None:
            partition.kept.close()

    def _log_release(self, partition: Partition, processor: PartitionProcessor) -> None:
        log.info(
            "shard released",
            extra={
                "partition": partition.number,
                "positions": dict(partition.positions),
                "learned": processor.learned,
                "waiting": processor.waiting(),
                "digest": processor.learner.digest() if processor.learner.learns else None,
            },
        )

    # -- restores -----------------------------------------------------------------------------

    def restart(self, partition: Partition, skips: Skips | None = None) -> None:
        """Throw a shard away and restore it; nothing in memory can be undone."""
        partition.processor = None
        partition.restore = None
        partition.skips |= skips or {}
        if self.partitions.get(partition.number) is partition:
            self.flow.stop(partition)
            if partition not in self._queue:
                self._queue.append(partition)

    def restore_some(self, seconds: float) -> bool:
        """Work on restores for about so long; returns whether there is more to restore."""
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
                # From the beginning at the next turn: what was read so far proves nothing.
                log.warning("restore begins again", extra={"reason": error.str()})
                partition.restore = None
                self._retry_at = time.monotonic() + RETRY_SECONDS
                self._give_up_after(partition, error)
            except Aborted as refused:
                log.warning("restore begins again", extra={"reason": str(refused)})
                partition.restore = None
                self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._queue:
            self._mend(self._queue[0])
        return bool(self._queue)

    def _mend(self, partition: Partition) -> None:
        """See to a restore that stands still; one that cannot go on lets others have their turn."""
        progress = None if partition.restore is None else partition.restore.progress()
        if self.mend(
            partition.number,
            progress,
            lambda number: committed_offsets(self._consumer, self.topics, number),
        ):
            partition.restore = None
            self._queue.rotate(-1)

    def _give_up_after(self, partition: Partition, error: KafkaError) -> None:
        """End a worker whose topics are gone; for a moment, brokers say so of any topic."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        gone = error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID)
        if gone and now - self._failing_since > GONE_SECONDS:
            raise Stop(
                f"partition {partition.number} cannot be restored: for {GONE_SECONDS:g} s the "
                f"brokers have not known one of its topics ({error.str()}): run millstream check"
            )

    def _restore_step(self, partition: Partition, timeout: float) -> None:
        if partition.restore is None:
            self.before_restore(partition.number)
            if partition.kept is None:
                partition.kept = self._restorer.new_store()
            partition.restore = PartitionRestore(
                self._restorer,
                partition.number,
                *committed_offsets(self._consumer, self.topics, partition.number),
                partition.skips,
                partition.kept,
            )
        partition.restore.step(timeout)
        if partition.restore.processor is not None:
            self._begin(partition, partition.restore)
            self._queue.popleft()
            self._failing_since = 0.0

    def _begin(self, partition: Partition, restore: PartitionRestore) -> None:
        """Fetch from where the restored shard is."""
        partition.positions = dict(restore.positions)
        partition.processor = restore.processor
        partition.restored = restore.restored
        if self._restorer.claims and isinstance(restore.processor, DelayedLabelProcessor):
            # Only now does our claim count: the group refuses this to anyone put out of it.
            try:
                commit_offsets(self._consumer, self.offsets(partition), self._patience)
            except Aborted:
                partition.processor = partition.restore = None
                raise
        places = self.offsets(partition)
        try:
            self.flow.begin(partition, places)
        except KafkaException:
            partition.processor = None
            raise
        partition.restore = None
        partition.fetched = dict(restore.positions)
        partition.ends = dict.fromkeys(restore.positions, -1)
        # Where it began without an offset, that is committed at once: else an app that is to begin
        # at the latest event would begin somewhere else after each restart.
        partition.committed_at = time.monotonic() if restore.all_committed() else -math.inf

    # -- fetching -----------------------------------------------------------------------------

    def fetch(self, limit: int, timeout: float) -> list[Any]:
        """Messages at hand, for `sort`; the callbacks of a rebalance come within this call alone.

        Waits for the first for at most `timeout` seconds, for no further one.
        """
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        messages: list[Any] = [first]
        if limit > 1:
            messages += self._consumer.consume(limit - 1, 0)
        return messages

    def sort(self, messages: list[Any]) -> dict[int, dict[InputName, list[Record]]]:
        """The records in messages, by partition and side."""
        labels = self.topics.get("labels")
        sorted_records: dict[int, dict[InputName, list[Record]]] = {}
        lists: dict[tuple[str, int], list[Record] | None] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._heed(message, error)
                continue
            where = (message.topic(), message.partition())
            try:
                records = lists[where]
            except KeyError:
                partition = self.partitions.get(where[1])
                side: InputName = "labels" if where[0] == labels else "events"
                known = partition is not None and partition.processor is not None
                records = lists[where] = (
                    sorted_records.setdefault(where[1], {"events": [], "labels": []})[side]
                    if known
                    else None
                )
            if records is not None:
                records.append(to_record(message))
        for number, by_side in sorted_records.items():
            for side in self.topics:
                by_side[side] = self._new(self.partitions[number], side, by_side[side])
        return sorted_records

    def _new(self, partition: Partition, side: InputName, records: list[Record]) -> list[Record]:
        """Only what was not fetched before: a seek may still be followed by older messages."""
        expected = partition.fetched[side]
        if records and records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
        if records:
            partition.fetched[side] = records[-1].offset + 1
            partition.latest[side] = records[-1].timestamp
        return records

    def _heed(self, message: Any, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            partition = self.partitions.get(message.partition())
            if partition is not None and partition.processor is not None:
                side: InputName = "events" if message.topic() == self.topics["events"] else "labels"
                partition.ends[side] = message.offset()
            return
        where = f"{message.topic()} partition {message.partition()}" if message.topic() else "Kafka"
        if error.fatal() or error.code() in HOPELESS:
            raise Stop(f"{where}: {error.str()} ({error.name()})")
        log.warning("Kafka client", extra={"where": where, "reason": error.str()})

    def offsets(self, partition: Partition) -> list[TopicPartition]:
        """What the group is to commit for a partition: both sides, moved or not."""
        owner = (
            partition.processor.owner
            if isinstance(partition.processor, DelayedLabelProcessor)
            else 0
        )
        name = f"{OWNER}{owner}" if owner else ""
        return [
            TopicPartition(self.topics[side], partition.number, offset, metadata=name)
            for side, offset in partition.positions.items()
        ]
