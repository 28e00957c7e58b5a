"""What a worker knows of one partition that is its own."""

from dataclasses import dataclass, field

from millstream.core.processing.partition_processor import Shard
from millstream.core.records.record import Output, Side
from millstream.errors import DeadLetter
from millstream.state.restore import ShardRestore
from millstream.state.restore_context import NOTHING_RESTORED, Restored
from millstream.state.retained_store import KeptStore

Skips = dict[tuple[str, int], tuple[DeadLetter, Output | None]]
"""What to leave out though its bytes would not say so, as in `core.shard.Plan.skips`, with the note
of it that is still to be written."""


@dataclass(slots=True)
class Partition:
    """One partition that the group gave to this worker."""

    number: int
    shard: Shard | None = None
    """None while it is restored."""
    restore: ShardRestore | None = None
    kept: KeptStore | None = None
    """Where its predictions wait; None before its first restore."""
    skips: Skips = field(default_factory=dict)
    positions: dict[Side, int] = field(default_factory=dict)
    """Per side, the offset after the last record that a commit accounts for."""
    fetched: dict[Side, int] = field(default_factory=dict)
    """Per side, the offset after the last record that was fetched."""
    ends: dict[Side, int] = field(default_factory=dict)
    """Per side, the end of the log as last reported."""
    paused: set[Side] = field(default_factory=set)
    confirm_at: float = 0.0
    """When the broker may be asked again whether a side is at its end, on the monotonic clock."""
    latest: dict[Side, int] = field(default_factory=dict)
    """Per side, Kafka's timestamp (ms) of the last record that was fetched."""
    restored: Restored = NOTHING_RESTORED
    """What its last restore began from."""
    committed_at: float = 0.0
    """When its offsets were last committed, on the monotonic clock."""

    def committed(self) -> None:
        """All that it was worked off to is committed."""
        if self.shard is not None:
            self.shard.committed()
        if self.kept is not None:
            self.kept.committed(self.positions["events"])
