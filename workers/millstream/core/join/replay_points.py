"""Where in its own logs the memory of a `DelayedLabelProcessor` begins.

What waits, what is held, and which ids were resolved lately is the fold of `predictions` and
`examples`. It is not in a snapshot, since that would have to copy it; a restore folds it again, but
only from where the oldest of it may stand. A mark says so: *at some moment* the inputs were taken
up to `events` and `labels`, `resolved` ids had been resolved, and no later record of the shard
stands below `predictions` and `examples`. All of these only grow. So whatever came after that
moment is found at or above the mark's offsets, whether or not the mark is the newest that says so.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from millstream.core.join.join import LabelJoin


class ReplayPoint(NamedTuple):
    """A moment in the life of a shard."""

    events: int
    """Offset after the last event taken; likewise `labels`."""
    labels: int
    predictions: int
    """An offset of that log at or below whatever is written after this moment; likewise
    `examples`."""
    examples: int
    resolved: int
    """How many ids had been resolved: see `LabelJoin.resolutions`."""
    stream: int = 0
    """See `LabelJoin.latest`; likewise `clock`."""
    clock: int = 0


START = ReplayPoint(0, 0, 0, 0, 0)
"""The beginning of all logs."""


class ReplayPoints:
    """The marks that still matter, oldest first; there is always one."""

    def __init__(self, marks: Iterable[Sequence[int]] = (START,)) -> None:
        """Those of a snapshot, or that of a shard that begins with its logs."""
        self._marks = deque(ReplayPoint(*mark) for mark in marks)
        # A fold counts resolutions anew, from the oldest mark on.
        self._unreached = deque(self._marks)
        self._marks.clear()

    def reached(self, examples: int, join: LabelJoin) -> None:
        """The fold is about to take the example at this offset."""
        while self._unreached and self._unreached[0].examples <= examples:
            self._marks.append(self._unreached.popleft()._replace(resolved=join.resolutions))

    def folded(self, join: LabelJoin) -> None:
        """The fold has taken all examples."""
        while self._unreached:
            self._marks.append(self._unreached.popleft()._replace(resolved=join.resolutions))

    def add(self, mark: ReplayPoint) -> None:
        """Remember a moment that is now or was lately."""
        self._marks.append(mark)

    def needed(self, join: LabelJoin) -> list[ReplayPoint]:
        """The newest mark that all memory of the join is younger than, and the marks after it.

        Those before it are forgotten.
        """
        while len(self._marks) > 1 and _covers(self._marks[1], join):
            self._marks.popleft()
        return list(self._marks)


def _covers(mark: ReplayPoint, join: LabelJoin) -> bool:
    waiting, held = join.oldest_waiting(), join.oldest_held()
    return (
        (waiting is None or mark.events <= waiting)
        and (held is None or mark.labels <= held)
        and mark.resolved <= join.forgotten
    )
