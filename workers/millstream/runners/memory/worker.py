"""The runner without a broker: moves records between lists in memory and the processors.

    worker.send("events", b'{"id": 1, ...}', key=b"1", timestamp=now)
    worker.work(now)                      (all available records, batch by batch)
    logs.records("app.predictions", 0)    (the records that a consumer of that topic would see)

Processing, restore and the run of a batch are those of the main runner. There is no thread, network
or clock: time is the argument of `work`. Two runs with the same input write the same bytes, except
for the names of snapshots.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.models.state_codec import CannotCaptureError, capture
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import BatchResult, Headers, InputName, Output
from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.delivery.batch import Batch
from millstream.kafka.topic_layout import needed_topics
from millstream.observability.metrics import Metrics
from millstream.runners.memory.broker import (
    MemoryEpochLog,
    MemoryLogs,
    MemoryModels,
    MemoryReader,
)
from millstream.runners.memory.transport import MemoryBatch, Point, commit_positions, has_work
from millstream.runners.run_batch import BatchRunner
from millstream.snapshots.writer import SnapshotWriter
from millstream.state.partition import Partition
from millstream.state.ports import TopicFacts
from millstream.state.restore_context import RestoreContext
from millstream.state.snapshot_metadata import snapshot_metadata

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 1_000_000
"""librdkafka's `message.max.bytes`."""


class MemoryWorker:
    """A worker that has all partitions of its topics, which are in memory.

    A restart is another worker on the same logs: it starts from the committed offsets.
    """

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        logs: MemoryLogs | None = None,
    ) -> None:
        """`logs`: None for empty topics of one partition."""
        # No record is in flight here: an input at its end has nothing more to wait for.
        labels = settings.labels.model_copy(update={"max_idle": 0})
        settings = settings.model_copy(update={"labels": labels})
        self.settings = settings
        self.logs = MemoryLogs() if logs is None else logs
        self._topics: dict[InputName, str] = {
            "events": settings.events.topic, "labels": str(settings.labels.topic)
        }  # fmt: skip
        self.now = 0
        """The latest time of `work`, ms."""
        self.counts: Counter[tuple[str, ...]] = Counter()
        """The committed counts, as in `BatchResult.counts`."""
        self.reach: Callable[[Point], None] = lambda _: None
        """Called at those moments of each commit; an exception is a crash: use another worker."""
        self.after_commit: Callable[[int, Sequence[BatchResult]], None] = lambda *_: None
        """Called with a partition and its results that were just committed."""
        self._parts = self._restore_parts(build_learner)
        self.late = self._parts.late
        """Whether labels come on a topic."""
        models = MemoryModels(self.logs, settings.topic("models"), self._clock)
        self._writer = SnapshotWriter(settings.snapshots, models, None, build_learner)
        self._runner = BatchRunner(settings.dead_letters)
        self._snapshot_at: dict[int, int] = {}
        self._partitions = [Partition(number) for number in range(self.logs.partitions)]

    def _clock(self) -> int:
        return self.now

    def _restore_parts(self, build_learner: Callable[[], Learner]) -> RestoreContext:
        settings, logs = self.settings, self.logs
        claims = MemoryEpochLog(logs, settings.topic("examples"), self._clock)
        facts = TopicFacts(
            logs.partitions,
            {name: name for name in needed_topics(settings).values()},
            int(settings.kafka.get("message.max.bytes", DEFAULT_MAX_BYTES)),
        )
        claiming = settings.has_delayed_labels and settings.processing_guarantee == "at_least_once"
        return RestoreContext(
            settings, build_learner, MemoryReader(logs), claims if claiming else None, facts,
            Metrics(), clock=self._clock,
        )  # fmt: skip

    # -- input -----------------------------------------------------------------------------

    def send(
        self,
        input_name: InputName,
        value: bytes | None,
        *,
        key: bytes | None = None,
        timestamp: int,
        partition: int = 0,
        headers: Headers | None = None,
    ) -> int:
        """Append a message to the events or the labels; returns its offset.

        `timestamp`: Kafka's, ms. It is not processed before `work`.
        """
        topic = self._topics[input_name]
        return self.logs.append(topic, partition, Output(key, value, headers), timestamp)

    def work(self, now: int) -> None:
        """Process all available records, at this time (ms), which never decreases.

        Raises `Stop` if a worker could not continue.
        """
        self.now = max(self.now, now)
        for partition in self._partitions:
            while self._has_more(partition) and self._turn(partition):
                pass

    # -- one batch of one partition ---------------------------------------------------------------

    def _turn(self, partition: Partition) -> bool:
        """Process a batch; whether there may be more to do."""
        batch = Batch("")
        try:
            processor = self.processor(partition.number)
            transport = MemoryBatch(
                self.settings, self.logs, self._topics, partition, processor, self.now, self.reach
            )
            if not self._runner.process(transport, batch, self.settings.batch.max_records):
                return True  # the same records come again, without one
            if not batch:
                return False
            self._runner.commit(transport, batch)
            for share in batch.shares():
                self.counts.update(share.counts)
            self.after_commit(partition.number, transport.results)
            self._snapshot_if_due(partition, processor)
        except BaseException:  # what is not committed is processed again, whatever was raised
            partition.invalidated()
            raise
        return True

    def _has_more(self, partition: Partition) -> bool:
        """Whether a batch may have a result."""
        processor = partition.processor
        if processor is None or has_work(processor, self.now):
            return True
        return any(
            offset < self.logs.end(self._topics[name], partition.number)
            for name, offset in partition.fetched.items()
        )

    # -- state ------------------------------------------------------------------------------------

    def _restore(self, partition: Partition) -> PartitionProcessor:
        """Restore by the same path as the main runner; see `PartitionRestore`."""
        before = self.logs.committed.get(partition.number)
        committed: dict[InputName, int | None] = {"events": None}
        if self._parts.late:
            committed["labels"] = None
        if before is not None:
            committed.update(before.positions)
        owner = None if before is None else before.owner
        try:
            restore = partition.restoring(self._parts, committed, owner)
            while (result := restore.step(1.0)) is None:
                pass
        except BaseException:
            partition.invalidated()
            raise
        partition.ready(result)
        if not restore.all_committed() or self._parts.claims:
            commit_positions(self.logs, partition)
        self._snapshot_at[partition.number] = result.origin.learned
        return result.processor

    def _snapshot_if_due(self, partition: Partition, processor: PartitionProcessor) -> None:
        new = processor.learned - self._snapshot_at[partition.number]
        if self.settings.snapshots.enabled and new >= self.settings.snapshots.examples:
            self.snapshot(partition.number)

    def snapshot(self, number: int = 0) -> bool:
        """Write a snapshot of a partition's model; False if the model cannot be captured.

        A restore starts from it. It goes to the models topic, whatever store the settings name.
        """
        partition = self._partitions[number]
        processor = self.processor(number)
        if not self._parts.learns:
            return False
        if processor.output_logs:
            topics = map(self.settings.topic, processor.output_logs)
            ends = [len(self.logs.records(topic, number)) for topic in topics]
            processor.mark(partition.positions, *ends)
        self._snapshot_at[number] = processor.learned
        try:
            captured = capture(processor.learner)
            about = snapshot_metadata(self._parts, partition, processor, self.now)
            probe = None if processor.latest is None else dict(processor.latest)
            self._writer.write(captured, about, probe, partition.origin.stored)
        except (CannotCaptureError, BadSnapshot) as error:
            log.warning("snapshot failed", extra={"partition": number, "reason": str(error)})
            return False
        return True

    def processor(self, number: int = 0) -> PartitionProcessor:
        """The current processor of a partition, restored first if necessary."""
        partition = self._partitions[number]
        return partition.processor or self._restore(partition)

    def restored_from(self, number: int = 0) -> int:
        """Examples in the snapshot that the last restore started from; 0 without one."""
        self.processor(number)
        return self._partitions[number].origin.learned
