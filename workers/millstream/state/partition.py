"""The life of one partition that the group has assigned to this worker.

    from       method         to         reason
    ---------  -------------  ---------  ----------------------------------------------------------
    ASSIGNED   restoring()    RESTORING  its turn has come: the worker reads its logs
    RESTORING  ready()        RUNNING    all logs are read, and its inputs are fetched
    RUNNING    invalidated()  INVALID    a batch was aborted, or the model broke: nothing in memory
                                         can be undone
    RESTORING  invalidated()  INVALID    a broker refused, or the restore stands still: what was
                                         read so far proves nothing
    INVALID    restoring()    RESTORING  its turn has come again
    ASSIGNED,  invalidated()  INVALID    an abort covers it before its turn has come
    INVALID
    any        released()     RELEASED   the group has revoked it, or the worker has lost it

A released partition stays so: one that comes back is another object. Whether an input is paused is
no state of its own: a running partition pauses and resumes each input (`paused`).
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import InputName
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import RestoreContext
from millstream.state.restore_steps import (
    NOTHING_RESTORED,
    CommittedOffsets,
    Positions,
    RestoreOrigin,
    RestoreResult,
    Skips,
)
from millstream.state.retained_store import RetainedStore


class PartitionState(Enum):
    """The states of a partition; their transitions stand at the head of this module."""

    ASSIGNED = "assigned"
    RESTORING = "restoring"
    RUNNING = "running"
    INVALID = "invalid"
    RELEASED = "released"


ASSIGNED, RESTORING, RUNNING, INVALID, RELEASED = PartitionState

SOURCES: Final = {
    RESTORING: {ASSIGNED, INVALID},
    RUNNING: {RESTORING},
    INVALID: {ASSIGNED, RESTORING, RUNNING, INVALID},
    RELEASED: {ASSIGNED, RESTORING, RUNNING, INVALID},
}
"""State to those from which a partition may come to it."""


class TransitionError(RuntimeError):
    """A partition was to change its state in a way that is not in the table."""


@dataclass(slots=True)
class Partition:
    """One partition that the group gave to this worker."""

    number: int
    state: PartitionState = field(default=ASSIGNED, init=False)
    processor: PartitionProcessor | None = field(default=None, init=False)
    """While it is running, and only then."""
    restore: PartitionRestore | None = field(default=None, init=False)
    """While it is being restored, and only then."""
    store: RetainedStore | None = field(default=None, init=False)
    """Its pending predictions; None before its first restore."""
    origin: RestoreOrigin = field(default=NOTHING_RESTORED, init=False)
    """What its last restore began from."""
    skips: Skips = field(default_factory=dict)
    """Records that the next restore leaves out."""
    positions: Positions = field(default_factory=dict)
    """Per input, the offset after the last record that a commit accounts for."""
    fetched: Positions = field(default_factory=dict)
    """Per input, the offset after the last record that was fetched."""
    ends: Positions = field(default_factory=dict)
    """Per input, the end of the log as last reported; -1: not yet."""
    paused: set[InputName] = field(default_factory=set)
    """Inputs that are not fetched because they run ahead of the other."""
    confirm_at: float = 0.0
    """Earliest time of the next question whether an input is at its end, on the monotonic clock."""
    latest: dict[InputName, int] = field(default_factory=dict)
    """Per input, Kafka's timestamp (ms) of the last record that was fetched."""
    committed_at: float = 0.0
    """Time of the last commit of its offsets, on the monotonic clock."""

    @property
    def is_running(self) -> bool:
        """Whether it processes records."""
        return self.state is RUNNING

    @property
    def is_released(self) -> bool:
        """Whether it belongs to this worker no more."""
        return self.state is RELEASED

    # -- transitions ------------------------------------------------------------------------------

    def restoring(
        self, context: RestoreContext, committed: CommittedOffsets, committed_owner: int | None
    ) -> PartitionRestore:
        """Begin a restore, from the group's offsets and the owner that they name.

        Returns the restore, to be driven until it has a result for `ready`.
        """
        self._check(RESTORING)
        if self.store is None:
            self.store = context.new_store()
        restore = self.restore = PartitionRestore(
            context, self.number, committed, committed_owner, self.skips, self.store
        )
        self.state = RESTORING
        return restore

    def ready(self, result: RestoreResult) -> None:
        """Run with the restored processor, from the restored positions on."""
        self._move(RUNNING)
        self.restore = None
        self.processor = result.processor
        self.origin = result.origin
        self.positions = dict(result.positions)
        self.fetched = dict(result.positions)
        self.ends = dict.fromkeys(result.positions, -1)

    def invalidated(self, skips: Skips | None = None) -> None:
        """Discard the processor, or the restore that makes one; the next restore obeys `skips`."""
        self._move(INVALID)
        self.processor = None
        self.restore = None
        self.skips |= skips or {}

    def released(self) -> None:
        """Discard all that is in memory, and close the store."""
        self._move(RELEASED)
        self.processor = None
        self.restore = None
        if self.store is not None:
            self.store.close()

    def _move(self, to: PartitionState) -> None:
        self._check(to)
        self.state = to

    def _check(self, to: PartitionState) -> None:
        if self.state not in SOURCES[to]:
            raise TransitionError(
                f"partition {self.number} cannot be {to.value}: it is {self.state.value}"
            )

    # -- commits ----------------------------------------------------------------------------------

    def committed(self) -> None:
        """The group has committed its positions, and its records are written."""
        self.skips.clear()
        if self.processor is not None:
            self.processor.committed()
        if self.store is not None:
            self.store.committed(self.positions["events"])
