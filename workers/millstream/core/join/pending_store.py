"""The store of pending predictions: its interface, and the implementation in memory.

A store has no rules; those of the join are in `join`. Two stores given the same calls answer
the same: `tests/unit/disk_store` holds them against each other.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

MAX_STALE = 1_000
"""How many entries of a queue may be stale, besides as many as there are others."""


class PendingPrediction(NamedTuple):
    """A prediction that waits for its label."""

    id: str | int
    offset: int
    """Source offset of the event."""
    time: int
    """Event time, ms."""
    predicted_at: int
    """When it was predicted by the worker's clock, ms."""
    key: bytes | None
    example: bytes
    """JSON of what the example will say of it: features (as they were), transformed, prediction.
    Made by `compact`."""


def compact(encoded: bytes) -> bytes:
    """The same bytes in no more memory than they need.

    orjson (3.13) writes into a kilobyte and cuts it, of which the system's allocator makes no use:
    a million predictions that wait took 3.9 GB so, instead of 0.3.
    """
    return b"".join((encoded[:1], encoded[1:]))


class Oldest(NamedTuple):
    """What has to be known of the prediction that waits longest."""

    id: str | int
    offset: int
    """Source offset of the event."""
    since: int
    """When it began to wait by the clock, ms: its event's time or when it was predicted, the later
    of the two."""


class CompletedId(NamedTuple):
    """An id that no longer waits."""

    time: int
    """Stream time when it was resolved, ms."""
    at: int
    """The same on the worker's clock, ms."""
    expired: bool


class PendingStore(Protocol):
    """Predictions that wait, and ids that were resolved lately; ids as text."""

    def __len__(self) -> int:
        """How many predictions wait."""

    def __contains__(self, name: object) -> bool:
        """Whether a prediction waits under an id."""

    def add(self, waiting: PendingPrediction) -> None:
        """Let a prediction wait; none waits under its id."""

    def take(self, name: str) -> PendingPrediction | None:
        """The prediction that waits under an id, which waits no longer."""

    def take_due(self, before: int) -> PendingPrediction | None:
        """The one of the earliest time (then offset), taken, if its time lies before this one."""

    def oldest(self) -> Oldest | None:
        """Return the one that was added first, without removing it."""

    def remember(self, name: str, resolved: CompletedId) -> bool:
        """Remember an id as the one resolved last.

        Returns whether it is known to have been the one resolved first.
        """

    def recall(self, name: str) -> CompletedId | None:
        """What is remembered of an id."""

    def remembered(self) -> int:
        """How many ids are remembered."""

    def oldest_resolved(self) -> CompletedId | None:
        """What was remembered first of what is remembered."""

    def forget_oldest(self) -> None:
        """Forget that one."""

    def discard(self, name: str, offset: int) -> None:
        """The prediction on the event at a source offset waits no longer, if it does."""

    def commit(self) -> None:
        """What was changed so far is final: a batch was committed, or a restore is complete."""

    def rollback(self) -> bool:
        """Undo what was changed since the last commit; False where that cannot be done."""

    def clear(self) -> None:
        """Forget everything, as if it were new."""

    def close(self) -> None:
        """Release memory and disk; the store can no longer be used."""


class MemoryPendingStore:
    """Every prediction as it is, ready to be learned from: the fastest, and the largest."""

    def __init__(self) -> None:
        # Both in the order of their arrival. A plain dict finds its first entry by passing over all
        # that were deleted before it: with a million, that is milliseconds for each label.
        self._waiting: OrderedDict[str, PendingPrediction] = OrderedDict()
        self._resolved: OrderedDict[str, CompletedId] = OrderedDict()
        # (time, offset, id) by time; entries that no longer wait are passed over when met.
        self._by_time: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        """How many predictions wait."""
        return len(self._waiting)

    def __contains__(self, name: object) -> bool:
        """Whether a prediction waits under an id."""
        return name in self._waiting

    def add(self, waiting: PendingPrediction) -> None:
        """Let a prediction wait; none waits under its id."""
        name = str(waiting.id)
        self._waiting[name] = waiting
        heappush(self._by_time, (waiting.time, waiting.offset, name))
        if len(self._by_time) > 2 * len(self._waiting) + MAX_STALE:
            # What expired by the clock is still in here, and only labels would take it out.
            self._by_time = sorted(
                (each.time, each.offset, each_name) for each_name, each in self._waiting.items()
            )

    def take(self, name: str) -> PendingPrediction | None:
        """The prediction that waits under an id, which waits no longer."""
        return self._waiting.pop(name, None)

    def take_due(self, before: int) -> PendingPrediction | None:
        """The one of the earliest time (then offset), taken, if its time lies before this one."""
        heap = self._by_time
        while heap and heap[0][0] < before:
            _, offset, name = heappop(heap)
            found = self._waiting.get(name)
            if found is not None and found.offset == offset:
                return self._waiting.pop(name)
        return None

    def oldest(self) -> Oldest | None:
        """Return the one that was added first, without removing it."""
        for each in self._waiting.values():
            return Oldest(each.id, each.offset, max(each.time, each.predicted_at))
        return None

    def remember(self, name: str, resolved: CompletedId) -> bool:
        """Remember an id as the one resolved last; whether it was the one resolved first."""
        before = self._resolved.get(name)
        was_first = before is not None and before is self.oldest_resolved()
        if before is not None:  # taken out, so that the order is that of resolution
            del self._resolved[name]
        self._resolved[name] = resolved
        return was_first

    def recall(self, name: str) -> CompletedId | None:
        """What is remembered of an id."""
        return self._resolved.get(name)

    def remembered(self) -> int:
        """How many ids are remembered."""
        return len(self._resolved)

    def oldest_resolved(self) -> CompletedId | None:
        """What was remembered first of what is remembered."""
        return next(iter(self._resolved.values()), None)

    def forget_oldest(self) -> None:
        """Forget that one."""
        self._resolved.popitem(last=False)

    def discard(self, name: str, offset: int) -> None:
        """The prediction on the event at a source offset waits no longer, if it does."""
        found = self._waiting.get(name)
        if found is not None and found.offset == offset:
            del self._waiting[name]

    def commit(self) -> None:
        """Nothing is kept to go back to."""

    def rollback(self) -> bool:
        """It cannot: what would be needed for that costs every batch more than a restore."""
        return False

    def clear(self) -> None:
        """Forget everything, as if it were new."""
        self._waiting.clear()
        self._resolved.clear()
        self._by_time.clear()

    def close(self) -> None:
        """Nothing is held but memory."""
        self.clear()
