"""What a worker knows of one partition that is its own."""

from dataclasses import dataclass, field

from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import InputName, Output
from millstream.errors import DeadLetter
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import NOTHING_RESTORED, RestoreResult
from millstream.state.retained_store import RetainedStore

Skips = dict[tuple[str, int], tuple[DeadLetter, Output | None]]
"""What to leave out though its bytes would not say so, as in
`core.processor.ProcessorConfig.skips`, with the note of it that is still to be written."""


@dataclass(slots=True)
class Partition:
    """One partition that the group gave to this worker."""

    number: int
    processor: PartitionProcessor | None = None
    """None while it is restored."""
    restore: PartitionRestore | None = None
    kept: RetainedStore | None = None
    """Where its predictions wait; None before its first restore."""
    skips: Skips = field(default_factory=dict)
    positions: dict[InputName, int] = field(default_factory=dict)
    """Per side, the offset after the last record that a commit accounts for."""
    fetched: dict[InputName, int] = field(default_factory=dict)
    """Per side, the offset after the last record that was fetched."""
    ends: dict[InputName, int] = field(default_factory=dict)
    """Per side, the end of the log as last reported."""
    paused: set[InputName] = field(default_factory=set)
    confirm_at: float = 0.0
    """When the broker may be asked again whether a side is at its end, on the monotonic clock."""
    latest: dict[InputName, int] = field(default_factory=dict)
    """Per side, Kafka's timestamp (ms) of the last record that was fetched."""
    restored: RestoreResult = NOTHING_RESTORED
    """What its last restore began from."""
    committed_at: float = 0.0
    """When its offsets were last committed, on the monotonic clock."""

    def committed(self) -> None:
        """All that it was worked off to is committed."""
        if self.processor is not None:
            self.processor.committed()
        if self.kept is not None:
            self.kept.committed(self.positions["events"])
