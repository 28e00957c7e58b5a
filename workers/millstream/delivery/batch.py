"""The open batch: what was worked off since the last commit, and counts together or not at all."""

from dataclasses import dataclass, field
from typing import Any

from millstream.core.records.record import BatchResult
from millstream.state.partition import Partition


@dataclass(slots=True)
class PartitionBatch:
    """What one partition has of a batch."""

    partition: Partition
    taken: int = 0
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    """As in `BatchResult`."""
    times: list[int] = field(default_factory=list)
    """As in `BatchResult`."""
    scored: list[tuple[Any, Any]] = field(default_factory=list)
    """As in `BatchResult`."""
    delays: list[int] = field(default_factory=list)
    """As in `BatchResult`."""


class Batch:
    """Shares of the partitions that a batch has records of."""

    def __init__(self, member: str) -> None:
        """`member`: the consumer's member id when the records were fetched.

        What was fetched belongs to that membership, and may only be committed by it.
        """
        self.member = member
        self.taken = 0
        self.write_seconds = 0.0
        """What it took to hand the outputs over."""
        self._shares: dict[int, PartitionBatch] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._shares)

    def add(self, partition: Partition, result: BatchResult) -> None:
        """Take in a piece, once its outputs are handed over."""
        share = self._shares.get(partition.number)
        if share is None:
            share = self._shares[partition.number] = PartitionBatch(partition)
        share.taken += result.taken
        share.times += result.times
        share.scored += result.scored
        share.delays += result.delays
        for key, amount in result.counts.items():
            share.counts[key] = share.counts.get(key, 0) + amount
        self.taken += result.taken
        partition.positions.update(result.positions)

    def clear(self) -> None:
        """Nothing of it counts."""
        self._shares.clear()
        self.taken = 0

    def taken_of(self, partition: Partition) -> int:
        """How many records of a partition are in it."""
        share = self._shares.get(partition.number)
        return 0 if share is None else share.taken

    def shares(self) -> list[PartitionBatch]:
        """The shares, in the order of their first records."""
        return list(self._shares.values())

    def partitions(self) -> list[Partition]:
        """The partitions that have a share."""
        return [share.partition for share in self._shares.values()]
