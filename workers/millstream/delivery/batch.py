"""Records processed since the last commit, which count together or not at all."""

from dataclasses import dataclass, field
from typing import Any

from millstream.core.records.record import BatchResult
from millstream.state.partition import Partition


@dataclass(slots=True)
class PartitionBatch:
    """One partition's share of a batch; its lists are as in `BatchResult`."""

    partition: Partition
    taken: int = 0
    """Number of records."""
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    scored: list[tuple[Any, Any]] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)


class Batch:
    """The shares of the partitions that a batch has records of."""

    def __init__(self, member: str) -> None:
        """`member`: the consumer's member id when the records were fetched.

        Only that membership may commit them.
        """
        self.member = member
        self.taken = 0
        self.write_seconds = 0.0
        """Time spent on handing the outputs to the publisher."""
        self._shares: dict[int, PartitionBatch] = {}

    def __bool__(self) -> bool:
        """Return True if there is anything to commit."""
        return bool(self._shares)

    def add(self, partition: Partition, result: BatchResult) -> None:
        """Add a chunk whose outputs have been handed to the publisher."""
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
        """Drop all shares: nothing of the batch counts."""
        self._shares.clear()
        self.taken = 0

    def taken_of(self, partition: Partition) -> int:
        """Return the number of a partition's records in the batch."""
        share = self._shares.get(partition.number)
        return 0 if share is None else share.taken

    def shares(self) -> list[PartitionBatch]:
        """Return the shares, in the order of their first records."""
        return list(self._shares.values())

    def partitions(self) -> list[Partition]:
        """Return the partitions that have a share."""
        return [share.partition for share in self._shares.values()]
