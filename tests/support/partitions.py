"""Partitions in the state that a test needs, without a restore."""

from typing import Any

from millstream.core.records.record import InputName
from millstream.state.partition import RESTORING, Partition
from millstream.state.restore_steps import NOTHING_RESTORED, RestoreOrigin, RestoreResult


def running(
    number: int,
    processor: Any,
    positions: dict[InputName, int],
    origin: RestoreOrigin = NOTHING_RESTORED,
) -> Partition:
    """A partition that runs with this processor."""
    partition = Partition(number)
    partition.state = RESTORING
    partition.ready(RestoreResult(processor, positions, origin))
    return partition
