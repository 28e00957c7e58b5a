"""The batches of the memory runner, and the commit of their outputs and offsets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from millstream.config.settings import Settings
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.delivery.batch import Batch
from millstream.runners.batch_size import CHUNK_RECORDS
from millstream.runners.memory.broker import CommittedPositions, MemoryLogs
from millstream.runners.run_batch import Chunk
from millstream.state.partition import Partition
from millstream.state.restore_steps import Skips

Point = Literal["after_learning", "mid_produce", "before_commit", "after_commit"]
"""Moments of a commit, as `failpoints` names them."""


def has_work(processor: PartitionProcessor, now: int) -> bool:
    """Whether a result may come without a new record."""
    if not processor.has_deadlines:
        return False
    return bool(
        processor.backlog("events") or processor.backlog("labels") or processor.overdue(now)
    )


def commit_positions(logs: MemoryLogs, partition: Partition) -> None:
    """Commit a partition's offsets for the group."""
    owner = partition.processor.epoch or None if partition.processor else None
    logs.committed[partition.number] = CommittedPositions(dict(partition.positions), owner)


class MemoryBatch:
    """One batch of one partition; a `Transport` between the lists of `MemoryLogs`."""

    def __init__(
        self,
        settings: Settings,
        logs: MemoryLogs,
        topics: Mapping[InputName, str],
        partition: Partition,
        processor: PartitionProcessor,
        now: int,
        reach: Callable[[Point], None],
    ) -> None:
        """`now`: ms; `reach`: called at the moments of the commit."""
        self.results: list[BatchResult] = []
        self._topic = settings.topic
        self._exactly_once = settings.processing_guarantee == "exactly_once"
        self._logs = logs
        self._topics = topics
        self._partition = partition
        self._processor = processor
        self._now = now
        self._reach = reach

    def chunks(self, batch: Batch, limit: int) -> Iterator[Chunk]:
        """The next records, until the batch is full or a chunk has no result."""
        partition, processor, now = self._partition, self._processor, self._now
        while batch.taken < limit:
            records = self._fetch(limit - batch.taken)
            fetched, results = any(records.values()), len(self.results)
            if not fetched and not has_work(processor, now):
                return
            yield Chunk(partition, processor, records, self._ends(), now, None)
            if not fetched and len(self.results) == results:
                return

    def _fetch(self, limit: int) -> dict[InputName, Sequence[Record]]:
        """The next records of each input, except for one that runs ahead of the other."""
        partition, processor = self._partition, self._processor
        size = limit if processor.learner.traits.batched else min(limit, CHUNK_RECORDS)
        records: dict[InputName, Sequence[Record]] = {"events": [], "labels": []}
        for name in processor.inputs:
            if processor.backlog(name) < size:
                start = partition.fetched[name]
                log_records = self._logs.records(self._topics[name], partition.number)
                records[name] = log_records[start : start + size]
                partition.fetched[name] = start + len(records[name])
        return records

    def _ends(self) -> dict[InputName, bool]:
        partition = self._partition
        return {
            name: offset == self._logs.end(self._topics[name], partition.number)
            for name, offset in partition.fetched.items()
        }

    def hand_over(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:  # noqa: ARG002 - a transport's
        """Keep the outputs until the commit."""
        if result:
            self.results.append(result)
        return True

    def abandon(self, batch: Batch) -> None:
        """Drop the batch; `restart` follows."""

    def restart(self, partition: Partition, skips: Skips) -> None:
        """Restore the partition at the next batch."""
        partition.invalidated(skips)

    def commit(self, batch: Batch) -> bool:  # noqa: ARG002 - a transport's
        """Write the outputs, and commit the offsets."""
        self._reach("after_learning")
        if self._exactly_once:
            # All of it or nothing: a transaction that is not committed is never seen.
            self._reach("mid_produce")
            self._reach("before_commit")
        self._write()
        commit_positions(self._logs, self._partition)
        self._reach("after_commit")
        return True

    def _write(self) -> None:
        """Write in the order of `AtLeastOnce`, which restores rely on."""
        topic, extend, number, now = (
            self._topic,
            self._logs.extend,
            self._partition.number,
            self._now,
        )
        for result in self.results:
            extend(topic("models"), number, result.notes, now)
            extend(topic("dead_letters"), number, result.dead_letters, now)
        for result in self.results:
            extend(topic("predictions"), number, result.predictions, now)
        if not self._exactly_once:
            self._reach("mid_produce")
        for result in self.results:
            extend(topic("examples"), number, result.examples, now)
        if not self._exactly_once:
            self._reach("before_commit")
