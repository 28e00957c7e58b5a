"""Offsets from which a replay rebuilds the join's state.

Pending predictions, early labels and recently completed ids are the fold of `predictions` and
`examples`. A snapshot leaves them out, because it would have to copy them; a restore folds the logs
again, but only from where the oldest of them may stand. A replay point states that *at some moment*
the inputs were consumed up to `events` and `labels`, `completed` ids had been completed, and no
later record of the processor stands below `predictions` and `examples`. All of these only grow. So
whatever came after that moment stands at or above the point's offsets, whether or not the point is
the newest that says so.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from millstream.core.join.join import LabelJoin


class ReplayPoint(NamedTuple):
    """A moment in the life of a processor."""

    events: int
    """Offset after the last event consumed; likewise `labels`."""
    labels: int
    predictions: int
    """An offset of that log at or below whatever is written after this moment; likewise
    `examples`."""
    examples: int
    completed: int
    """Number of ids completed by then: see `LabelJoin.completions`."""
    stream: int = 0
    """See `LabelJoin.latest`; likewise `clock`."""
    clock: int = 0

    def logs(self) -> dict[str, int]:
        """Return the offset from which a replay reads each log."""
        return {"predictions": self.predictions, "examples": self.examples}


START = ReplayPoint(0, 0, 0, 0, 0)
"""The beginning of all logs."""


class ReplayPoints:
    """The replay points that still matter, oldest first; there is always one."""

    def __init__(self, points: Iterable[Sequence[int]] = (START,)) -> None:
        """Take those of a snapshot, or the beginning of all logs."""
        self._points = deque(ReplayPoint(*point) for point in points)
        # A fold counts completions anew, from the oldest point on.
        self._unreached = deque(self._points)
        self._points.clear()

    def reached(self, examples: int, join: LabelJoin) -> None:
        """Note that the replay is about to apply the example at this offset."""
        while self._unreached and self._unreached[0].examples <= examples:
            self._points.append(self._unreached.popleft()._replace(completed=join.completions))

    def replayed(self, join: LabelJoin) -> None:
        """Note that the replay has applied all examples."""
        while self._unreached:
            self._points.append(self._unreached.popleft()._replace(completed=join.completions))

    def add(self, point: ReplayPoint) -> None:
        """Add a moment that is now or was recently."""
        self._points.append(point)

    def needed(self, join: LabelJoin) -> list[ReplayPoint]:
        """Return the newest point that all state of the join is younger than, and those after it.

        Those before it are forgotten.
        """
        while len(self._points) > 1 and _covers(self._points[1], join):
            self._points.popleft()
        return list(self._points)


def _covers(point: ReplayPoint, join: LabelJoin) -> bool:
    pending, early = join.oldest_pending(), join.oldest_early()
    return (
        (pending is None or point.events <= pending)
        and (early is None or point.labels <= early)
        and point.completed <= join.forgotten
    )
