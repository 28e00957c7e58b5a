"""The processing and the commit of one batch, for every runner.

    for each chunk of the transport's records:
        result = processor.process(chunk)       (pure)
        transport.hand_over(result)             (sent while the next chunk is computed)
    transport.commit(batch)                     (all outputs and the offsets)

A batch whose model raises while it learns is abandoned: its partitions are restored without that
example, and the same records come again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from millstream.config.sections import BreakerSettings
from millstream.core.circuit_breaker import CircuitBreaker
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.delivery.batch import Batch
from millstream.errors import StateInvalid
from millstream.runners.poison_examples import PoisonExamples
from millstream.state.partition import Partition
from millstream.state.restore_steps import Skips


class Chunk(NamedTuple):
    """Some records of one partition, and the arguments of `PartitionProcessor.process` for them."""

    partition: Partition
    processor: PartitionProcessor
    records: Mapping[InputName, Sequence[Record]]
    ends: Mapping[InputName, bool]
    now: int
    confirmed: Mapping[InputName, int] | None


class Transport(Protocol):
    """The source of a batch's records and the destination of its outputs."""

    def chunks(self, batch: Batch, limit: int) -> Iterator[Chunk]:
        """The records of the batch, at most `limit` of each partition, chunk by chunk."""

    def hand_over(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:
        """Accept the outputs of a processed chunk; False if the batch failed."""

    def abandon(self, batch: Batch) -> None:
        """Drop the open batch, and restore its partitions."""

    def restart(self, partition: Partition, skips: Skips) -> None:
        """Restore a partition without these records."""

    def commit(self, batch: Batch) -> bool:
        """Make the outputs and offsets of the batch count; False if it failed."""


class BatchRunner:
    """Processes and commits batches, and stops a worker whose input or model is bad."""

    def __init__(self, breaker: BreakerSettings) -> None:
        self._breaker = CircuitBreaker(breaker.stop_ratio, breaker.window)
        self._poison = PoisonExamples()

    def process(self, transport: Transport, batch: Batch, limit: int) -> bool:
        """Process the transport's chunks into `batch`, at most `limit` records a partition.

        False if the batch failed and its partitions are to be restored. Raises `Stop`.
        """
        for partition, processor, records, ends, now, confirmed in transport.chunks(batch, limit):
            most = limit - batch.taken_of(partition)
            try:
                result = processor.process(records, ends, now, confirmed, most)
            except StateInvalid as invalid:
                transport.abandon(batch)
                batch.clear()
                transport.restart(partition, self._poison.skip(partition.number, invalid))
                return False
            counts = bool(result)  # asked first: handing over empties the outputs
            if not transport.hand_over(batch, partition, result):
                transport.abandon(batch)
                batch.clear()
                return False
            if counts:
                batch.add(partition, result)
        return True

    def commit(self, transport: Transport, batch: Batch) -> bool:
        """Commit a batch; False if that failed. Raises `Stop` if too many records are bad."""
        self._breaker.add(*(share.counts for share in batch.shares()))
        if not transport.commit(batch):
            return False
        for share in batch.shares():
            share.partition.committed()
            if share.counts.get(("learned",)):
                self._poison.learned()
        return True
