"""The loop of the main runner, which moves bytes between Kafka and the partition processors.

    messages = what is available          (waits only if nothing is)
    run_batch over their chunks           (each chunk's outputs are sent while the next is computed)
    commit                                (one transaction: all outputs, and the offsets)

A batch is everything that arrived while the last one was committed: an idle worker answers each
event at once, a busy one commits ever larger batches. There is no timer. If a batch fails, its
partitions are restored from their logs, and the same records come again.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from millstream import _failpoints as failpoints
from millstream.config.settings import Settings
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.delivery.batch import Batch
from millstream.runners.batch_size import BatchSizer
from millstream.runners.confluent.assembly import WorkerParts
from millstream.runners.run_batch import BatchRunner, Chunk
from millstream.state.partition import Partition
from millstream.state.restore_steps import Skips

IDLE_WAIT_SECONDS: Final = 0.1
"""How long the loop waits for a message; also how soon it sees a signal or an expiry."""
BUSY_WAIT_SECONDS: Final = 0.01
RESTORE_SLICE_SECONDS: Final = 0.1

NO_RECORDS: Final[Mapping[InputName, Sequence[Record]]] = {"events": (), "labels": ()}


class Loop:
    """Restores, fetches, processes and commits, turn by turn."""

    def __init__(self, parts: WorkerParts, settings: Settings, stopping: threading.Event) -> None:
        self._parts = parts
        self._stopping = stopping
        self._sizer = BatchSizer(settings.batch)
        self._runner = BatchRunner(settings.dead_letters)

    def run(self) -> None:
        """Join the group and work until `stopping` is set; raises `Stop`."""
        self._parts.membership.subscribe()
        while not self._stopping.is_set():
            self._turn()

    def _turn(self) -> None:
        parts = self._parts
        membership, tracing = parts.membership, parts.tracing
        parts.broker_probe.turn()
        # Before the restore, since one step of it may take long.
        parts.reporter.report_shards(membership)
        restoring = self._restore()
        one_by_one = parts.detector.before_work(membership.partitions.values())
        if one_by_one:
            self._sizer.be_careful()
        limit = self._sizer.limit()
        parts.committer.rest()
        fetching = time.monotonic()
        messages = membership.fetch(limit, self._wait(restoring=restoring))
        if not messages and parts.checks_stalls and not parts.broker_probe.seconds:
            membership.flow.look(membership.partitions)
        if tracing is not None:
            tracing.begin(messages)
        batch = Batch(parts.consumer.memberid())
        fetched = time.monotonic()
        if messages:
            failpoints.reach("after_poll")
        transport = KafkaBatch(
            parts, self._sizer, messages, 1 if one_by_one else parts.chunk_records
        )
        try:
            processed = self._runner.process(transport, batch, limit)
        finally:
            parts.detector.after_work()
        if processed and batch.taken:
            self._observe(batch, fetching, fetched)
        committed = processed and (not batch or self._commit(transport, batch))
        if tracing is not None:
            tracing.end(committed=committed)
        parts.committer.turn()
        parts.snapshots.turn(list(membership.partitions.values()))
        parts.reporter.report_lag(membership)

    def _restore(self) -> bool:
        """Continue restores; whether some are left."""
        began = time.monotonic()
        restoring = self._parts.membership.restore_some(RESTORE_SLICE_SECONDS)
        if restoring:
            self._parts.metrics.batches.observe_stage("restore", time.monotonic() - began)
        return restoring

    def _wait(self, *, restoring: bool) -> float:
        """How long to wait for a message, with nothing else to do."""
        partitions = self._parts.membership.partitions.values()
        buffered = any(each.processor and each.processor.backlog("events") for each in partitions)
        return BUSY_WAIT_SECONDS if restoring or buffered else IDLE_WAIT_SECONDS

    def _observe(self, batch: Batch, fetching: float, fetched: float) -> None:
        """Measure the stages of a processed batch; times are of the monotonic clock."""
        seconds = time.monotonic() - fetched
        metrics = self._parts.metrics
        self._sizer.learn(batch.taken, seconds)
        metrics.batches.observe_batch(batch.taken)
        metrics.batches.observe_stage("consume", fetched - fetching)
        metrics.batches.observe_stage("process", seconds - batch.write_seconds)
        metrics.batches.observe_stage("produce", batch.write_seconds)

    def _commit(self, transport: "KafkaBatch", batch: Batch) -> bool:
        failpoints.reach("after_learning")
        if not self._runner.commit(transport, batch):
            return False
        self._sizer.committed()
        self._parts.reporter.after_commit(batch)
        return True


class KafkaBatch:
    """The messages of one batch, and the way of its outputs; a `Transport`."""

    def __init__(
        self, parts: WorkerParts, sizer: BatchSizer, messages: list[Any], chunk_records: int
    ) -> None:
        self._parts = parts
        self._sizer = sizer
        self._messages = messages
        self._chunk_records = chunk_records

    def chunks(self, batch: Batch, limit: int) -> Iterator[Chunk]:  # noqa: ARG002 - as fetched
        """The messages, chunk by chunk; one turn even without a message: an expiry may be due.

        Callbacks of the group come with `fetch` alone, so partitions stay during a batch.
        """
        membership, detector = self._parts.membership, self._parts.detector
        messages, size = self._messages, self._chunk_records
        for start in range(0, len(messages) or 1, size):
            records = membership.sorter.sort(messages[start : start + size])
            for partition in list(membership.partitions.values()):
                chunk = self._chunk(partition, records.get(partition.number))
                if chunk is not None:
                    yield chunk
                else:
                    detector.worked(partition)
                membership.flow.hold_back(partition, 2 * limit)

    def _chunk(
        self, partition: Partition, records: dict[InputName, list[Record]] | None
    ) -> Chunk | None:
        processor = partition.processor
        if processor is None:
            return None
        ends: dict[InputName, bool] = {}
        confirmed: dict[InputName, int] = {}
        if processor.has_deadlines:
            ends = self._parts.membership.ends.reached(partition)
            overdue = processor.overdue(time.time_ns() // 1_000_000)
            confirmed = self._parts.membership.ends.confirm(partition, overdue)
        elif records is None:
            return None
        now = time.time_ns() // 1_000_000
        return Chunk(partition, processor, records or NO_RECORDS, ends, now, confirmed)

    def hand_over(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:
        """Send the outputs of a chunk; False if the batch failed."""
        self._parts.detector.worked(partition)
        return not result or self._parts.committer.write(batch, partition, result)

    def abandon(self, batch: Batch) -> None:
        """Drop the open batch, and restore all partitions that it has messages or records of."""
        numbers = {message.partition() for message in self._messages}
        numbers |= {partition.number for partition in batch.partitions()}
        known = self._parts.membership.partitions
        self._parts.committer.abort([known[number] for number in numbers if number in known])

    def restart(self, partition: Partition, skips: Skips) -> None:
        """Restore a partition without these records, in small batches for a while."""
        self._sizer.be_careful()
        self._parts.membership.restart(partition, skips)

    def commit(self, batch: Batch) -> bool:
        """Commit the batch; False if that failed."""
        return self._parts.committer.commit(batch)
