"""The runner without a broker: moves records between lists in memory and the shards.

    worker.send("events", b'{"id": 1, ...}', key=b"1", timestamp=now)
    worker.work(now)                      (all that is at hand, batch by batch)
    logs.records("app.predictions", 0)    (what a reader of that topic would see)

Everything but the moving is what the main runner has: the shards, and the restore that makes them.
There is no thread, network or clock: time is what `work` is told. Two runs that are sent the same
write the same bytes, but for the names of snapshots.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal

from millstream.config.settings import Settings
from millstream.core.circuit_breaker import CircuitBreaker
from millstream.core.models.interface.learner import Learner
from millstream.core.models.state_codec import CannotCaptureError, capture
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.partition_processor import PartitionProcessor
from millstream.core.records.record import BatchResult, Headers, InputName, Output, Record
from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.errors import StateInvalid
from millstream.kafka.topics import needed_topics
from millstream.observability.metrics import Metrics
from millstream.runners.chunk_size import PIECE_RECORDS
from millstream.runners.memory.broker import (
    CommittedPositions,
    MemoryEpochLog,
    MemoryLogs,
    MemoryModels,
    MemoryReader,
)
from millstream.runners.poison_examples import PoisonExamples
from millstream.state.partition import Partition
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import RestoreContext, TopicFacts
from millstream.state.snapshot_scheduler import about_now
from millstream.state.snapshot_writer import SnapshotWriter

log = logging.getLogger(__name__)

Point = Literal["after_learning", "mid_produce", "before_commit", "after_commit"]
"""Moments of a commit, as `failpoints` names them."""
DEFAULT_MAX_BYTES: Final = 1_000_000
"""librdkafka's `message.max.bytes`."""


class MemoryWorker:
    """A worker that has all partitions of its topics, which lie in memory.

    A restart is another worker on the same logs: it begins from what this one committed.
    """

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        logs: MemoryLogs | None = None,
    ) -> None:
        """`logs`: None for empty topics of one partition."""
        # Nothing is on its way here: a side that is at its end has nothing more to wait for.
        labels = settings.labels.model_copy(update={"max_idle": 0})
        settings = settings.model_copy(update={"labels": labels})
        self.settings = settings
        self.logs = MemoryLogs() if logs is None else logs
        self._topics: dict[InputName, str] = {
            "events": settings.events.topic, "labels": str(settings.labels.topic)
        }  # fmt: skip
        self.now = 0
        """The latest time that it was told, ms."""
        self.counts: Counter[tuple[str, ...]] = Counter()
        """What was committed, as `BatchResult.counts` has it."""
        self.reach: Callable[[Point], None] = lambda _: None
        """Called at those moments of each commit; what it raises is a crash: use another worker."""
        self.after_commit: Callable[[int, Sequence[BatchResult]], None] = lambda *_: None
        """Called with a partition and what was just committed of it."""
        self._parts = self._restore_parts(build_learner)
        self.late = self._parts.late
        """Whether labels come on a topic."""
        models = MemoryModels(self.logs, settings.topic("models"), self._clock)
        self._writer = SnapshotWriter(settings.snapshots, models, None, build_learner)
        self._breaker = CircuitBreaker(
            settings.dead_letters.stop_ratio, settings.dead_letters.window
        )
        self._broken = PoisonExamples()
        self._snapshot_at: dict[int, int] = {}
        self._partitions = [Partition(number) for number in range(self.logs.partitions)]

    def _clock(self) -> int:
        return self.now

    def _restore_parts(self, build_learner: Callable[[], Learner]) -> RestoreContext:
        settings, logs = self.settings, self.logs
        claims = MemoryEpochLog(logs, settings.topic("examples"), self._clock)
        told = TopicFacts(
            logs.partitions,
            {name: name for name in needed_topics(settings).values()},
            int(settings.kafka.get("message.max.bytes", DEFAULT_MAX_BYTES)),
        )
        claiming = settings.has_delayed_labels and settings.processing_guarantee == "at_least_once"
        return RestoreContext(
            settings, build_learner, MemoryReader(logs), claims if claiming else None, told,
            Metrics(), clock=self._clock,
        )  # fmt: skip

    # -- what goes in -----------------------------------------------------------------------------

    def send(
        self,
        side: InputName,
        value: bytes | None,
        *,
        key: bytes | None = None,
        timestamp: int,
        partition: int = 0,
        headers: Headers | None = None,
    ) -> int:
        """Append a message to the events or the labels; returns its offset.

        `timestamp`: Kafka's, ms. It is not worked on before `work`.
        """
        topic = self._topics[side]
        return self.logs.append(topic, partition, Output(key, value, headers), timestamp)

    def work(self, now: int) -> None:
        """Work off all that is at hand, at this time (ms), which never goes back.

        Raises `Stop` where a worker could not go on.
        """
        self.now = max(self.now, now)
        for partition in self._partitions:
            while self._has_more(partition) and self._turn(partition):
                pass

    # -- one batch of one partition ---------------------------------------------------------------

    def _turn(self, partition: Partition) -> bool:
        """Work off a batch; whether there may be more to do."""
        try:
            return self._work_off(partition)
        except BaseException:  # what is not committed is worked off again, whatever came between
            partition.processor = None
            raise

    def _work_off(self, partition: Partition) -> bool:
        if partition.processor is None:
            self._restore(partition)
        processor = partition.processor
        if processor is None:
            raise AssertionError("a restore makes a shard")
        limit = self.settings.batch.max_records
        batch: list[BatchResult] = []
        taken = 0
        try:
            while taken < limit:
                records = self._fetch(partition, processor, limit - taken)
                if not any(records.values()) and not self._has_work(processor):
                    break
                result = processor.process(
                    records, self._ends(partition), self.now, None, limit - taken
                )
                if not result and not any(records.values()):
                    break
                batch.append(result)
                taken += result.taken
        except StateInvalid as broken:
            partition.skips |= self._broken.skip(partition.number, broken)
            partition.processor = None
            return True
        worked = any(batch)
        if worked:
            self._commit(partition, batch)
            self._snapshot_if_due(partition, processor)
        return worked

    def _has_more(self, partition: Partition) -> bool:
        """Whether a batch may come to anything."""
        processor = partition.processor
        if processor is None or self._has_work(processor):
            return True
        return any(
            offset < len(self.logs.records(self._topics[side], partition.number))
            for side, offset in partition.fetched.items()
        )

    def _has_work(self, processor: PartitionProcessor) -> bool:
        """Whether something may happen though nothing new has come."""
        if not isinstance(processor, DelayedLabelProcessor):
            return False
        return bool(
            processor.backlog("events")
            or processor.backlog("labels")
            or processor.overdue(self.now)
        )

    def _fetch(
        self, partition: Partition, processor: PartitionProcessor, limit: int
    ) -> dict[InputName, Sequence[Record]]:
        """What comes next on each side, but for one that runs ahead of the other."""
        size = limit if processor.learner.batched else min(limit, PIECE_RECORDS)
        records: dict[InputName, Sequence[Record]] = {"events": [], "labels": []}
        for side in processor.sides:
            if processor.backlog(side) < size:
                start = partition.fetched[side]
                there = self.logs.records(self._topics[side], partition.number)
                records[side] = there[start : start + size]
                partition.fetched[side] = start + len(records[side])
        return records

    def _ends(self, partition: Partition) -> dict[InputName, bool]:
        return {
            side: offset == len(self.logs.records(self._topics[side], partition.number))
            for side, offset in partition.fetched.items()
        }

    def _commit(self, partition: Partition, batch: Sequence[BatchResult]) -> None:
        counts: Counter[tuple[str, ...]] = Counter()
        for result in batch:
            counts.update(result.counts)
        self._check(counts)
        self.reach("after_learning")
        if self.settings.processing_guarantee == "exactly_once":
            # All of it or nothing: a transaction that is not committed is never seen.
            self.reach("mid_produce")
            self.reach("before_commit")
        self._write(partition.number, batch)
        for result in batch:
            partition.positions.update(result.positions)
        self._commit_positions(partition)
        self.reach("after_commit")
        partition.skips.clear()
        partition.committed()
        self.counts.update(counts)
        if counts["learned",]:
            self._broken.learned()
        self.after_commit(partition.number, batch)

    def _check(self, counts: Counter[tuple[str, ...]]) -> None:
        """Raises `Stop` where too much of what was consumed is bad; see `batch.Batch`."""
        records = sum(n for key, n in counts.items() if key[0] == "consumed")
        bad = {
            key[2]: n
            for key, n in counts.items()
            if key[0] == "dead_lettered" and key[2] not in {"unmatched", "late"}
        }
        if records:
            self._breaker.add(records, sum(bad.values()), bad)

    def _write(self, number: int, batch: Sequence[BatchResult]) -> None:
        """In the order in which `publish.AtLeastOnce` writes, which restores rely on."""
        settings, now = self.settings, self.now
        names = (settings.topic("models"), settings.topic("dead_letters"))
        for result in batch:
            for topic, outputs in zip(names, (result.notes, result.dead_letters), strict=True):
                self.logs.extend(topic, number, outputs, now)
        for result in batch:
            self.logs.extend(settings.topic("predictions"), number, result.predictions, now)
        if settings.processing_guarantee == "at_least_once":
            self.reach("mid_produce")
        for result in batch:
            self.logs.extend(settings.topic("examples"), number, result.examples, now)
        if settings.processing_guarantee == "at_least_once":
            self.reach("before_commit")

    def _commit_positions(self, partition: Partition) -> None:
        processor = partition.processor
        owner = (processor.owner or None) if isinstance(processor, DelayedLabelProcessor) else None
        self.logs.committed[partition.number] = CommittedPositions(dict(partition.positions), owner)

    # -- state ------------------------------------------------------------------------------------

    def _restore(self, partition: Partition) -> None:
        """By the one path there is; see `restore`."""
        before = self.logs.committed.get(partition.number)
        committed: dict[InputName, int | None] = {"events": None}
        if self._parts.late:
            committed["labels"] = None
        if before is not None:
            committed.update(before.positions)
        if partition.kept is None:
            partition.kept = self._parts.new_store()
        owner = None if before is None else before.owner
        restore = PartitionRestore(
            self._parts, partition.number, committed, owner, partition.skips, partition.kept
        )
        while restore.processor is None:
            restore.step(1.0)
        partition.processor = restore.processor
        partition.restored = restore.restored
        partition.positions = dict(restore.positions)
        partition.fetched = dict(restore.positions)
        if not restore.all_committed() or self._parts.claims:
            self._commit_positions(partition)
        self._snapshot_at[partition.number] = restore.restored.learned

    def _snapshot_if_due(self, partition: Partition, processor: PartitionProcessor) -> None:
        new = processor.learned - self._snapshot_at[partition.number]
        if self.settings.snapshots.enabled and new >= self.settings.snapshots.examples:
            self.snapshot(partition.number)

    def snapshot(self, number: int = 0) -> bool:
        """Write a snapshot of a partition's model; False where the model cannot be written down.

        A restore begins from it. The settings' store is left alone: it goes to the models topic.
        """
        partition = self._partitions[number]
        processor = self.processor(number)
        if not self._parts.learns:
            return False
        if isinstance(processor, DelayedLabelProcessor):
            topics = (self.settings.topic("predictions"), self.settings.topic("examples"))
            ends = [len(self.logs.records(topic, number)) for topic in topics]
            processor.mark(partition.positions, *ends)
        self._snapshot_at[number] = processor.learned
        try:
            captured = capture(processor.learner)
            about = about_now(self._parts, partition, processor, self.now)
            probe = None if processor.latest is None else dict(processor.latest)
            self._writer.write(captured, about, probe, partition.restored.kept)
        except (CannotCaptureError, BadSnapshot) as error:
            log.warning("snapshot failed", extra={"partition": number, "reason": str(error)})
            return False
        return True

    def processor(self, number: int = 0) -> PartitionProcessor:
        """A partition's shard as it is now, restored if it is not there yet."""
        partition = self._partitions[number]
        if partition.processor is None:
            self._restore(partition)
        if partition.processor is None:
            raise AssertionError("a restore makes a shard")
        return partition.processor

    def restored_from(self, number: int = 0) -> int:
        """How many examples were in the snapshot that its restore began from; 0: in none."""
        self.processor(number)
        return self._partitions[number].restored.learned
