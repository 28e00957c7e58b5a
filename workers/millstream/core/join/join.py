"""The join of pending predictions with labels that come later or earlier.

The rules, all on the clock of the stream (message times, see `merge`), not on the order of fetches:

- An id waits once. An event whose id waits already, or was completed less than one wait ago, is a
  *repeat*: it is predicted and counted, but its label belongs to the first one.
- A label joins the prediction that waits under its id; from then on the id is *completed*.
- A label whose id was completed by a label less than one wait ago is a *duplicate*; by expiry, it
  is *late*. Any other label is *early*, and joins its event when that comes.
- What lies one wait behind the latest completion is forgotten. Every completion is a record of the
  log, so a join that was restored from anywhere in it has forgotten the same.
- A prediction is due when a record of a later time than its deadline (event time + wait) is
  consumed while a label is available; or, with the labels topic at its end, by the clock. So is an
  early label, with events and labels exchanged.
- At most `most` predictions wait, as many early labels, and as many completed ids are remembered.
  The processor decides what happens at the first two bounds (`full`, `early_full`); of the ids, the
  one completed first is forgotten.
"""

from heapq import heappop, heappush
from itertools import islice
from typing import NamedTuple

from millstream.core.join.pending_store import (
    CompletedId,
    MemoryPendingStore,
    Oldest,
    PendingPrediction,
    PendingStore,
)
from millstream.core.models.interface.learner import Label
from millstream.core.records.record import InputName, Record

__all__ = ["CompletedId", "EarlyLabel", "LabelJoin", "PendingPrediction"]

MOST = 1_000_000
"""The default bound of each kind."""
FOREVER = 2**63 - 1
"""Later than any time, ms."""


class EarlyLabel(NamedTuple):
    """A label that came before its event."""

    id: str | int
    label: Label
    time: int
    """Message time, ms."""
    received_at: int
    """When it was consumed by the worker's clock, ms."""
    record: Record
    """The message itself, for the dead letter if its event never comes."""


class LabelJoin:
    """The state machine of the join, independent of models and topics."""

    def __init__(self, wait: int, store: PendingStore | None = None, most: int = MOST) -> None:
        """`wait` in milliseconds; `store` is empty, and this join's alone (None: in memory)."""
        self.wait = wait
        self._most = most
        self.store: PendingStore = MemoryPendingStore() if store is None else store
        # In the order of their arrival, which is that of the clock.
        self.early: dict[str, EarlyLabel] = {}
        # (time, offset, id) by time; stale entries are skipped when met.
        self._early_by_time: list[tuple[int, int, str]] = []
        self.latest = (0, 0)
        """The latest times at which an id was completed: of the stream, and by the clock, ms."""
        self._none_since = 0
        """No prediction has waited since before this time by the clock, ms."""
        self.completions = 0
        """Number of ids that were ever completed."""
        self.forgotten = 0
        """At least this many of them, the first ones, are no longer remembered."""

    def oldest_pending(self) -> int | None:
        """Return the source offset of the event whose prediction waits longest."""
        oldest = self.store.oldest()
        return None if oldest is None else oldest.offset

    def oldest_early(self) -> int | None:
        """Return the offset of the early label that waits longest."""
        return next((each.record.offset for each in self.early.values()), None)

    # -- predictions ----------------------------------------------------------------------------

    def is_repeat(self, identity: str | int, time: int) -> bool:
        """Whether an event of this id at this time does not wait for a label of its own."""
        name = str(identity)
        return name in self.store or self._recently_completed(name, time) is not None

    def full(self) -> bool:
        """Whether no more predictions may wait."""
        return len(self.store) >= self._most

    def add_pending(self, prediction: PendingPrediction) -> None:
        """Let a prediction wait, room or not: a log may hold more than may wait today."""
        self.store.add(prediction)

    def take_pending(self, identity: str | int) -> PendingPrediction | None:
        """Remove and return the prediction that waits under an id."""
        return self.store.take(str(identity))

    def take_first_deadline(self) -> PendingPrediction | None:
        """Remove and return the prediction with the earliest deadline on the stream."""
        return self.store.take_due(FOREVER)

    def due(self, before: int) -> PendingPrediction | None:
        """Remove and return the prediction with the earliest deadline, if that is before a time."""
        return self.store.take_due(before - self.wait)

    def due_by_clock(self, now: int) -> PendingPrediction | None:
        """Remove and return the prediction that waits longest, if its wait is over by the clock."""
        found = self._oldest_since(now - self.wait)
        return None if found is None else self.store.take(str(found.id))

    def _oldest_since(self, before: int) -> Oldest | None:
        """The prediction that waits longest, if it began to before this time.

        Those that came later began later. So nobody has to look for the oldest one, which costs
        something, before the time comes of the one that was the oldest when somebody last looked.
        """
        if self._none_since >= before:
            return None
        found = self.store.oldest()
        if found is None:
            return None
        self._none_since = found.since
        return found if found.since < before else None

    # -- early labels ---------------------------------------------------------------------------

    def early_full(self) -> bool:
        """Whether no more early labels may wait."""
        return len(self.early) >= self._most

    def add_early(self, label: EarlyLabel) -> None:
        """Let a label wait for its event."""
        name = str(label.id)
        self.early[name] = label
        heappush(self._early_by_time, (label.time, label.record.offset, name))

    def take_early(self, identity: str | int) -> EarlyLabel | None:
        """Remove and return the early label of an id."""
        return self.early.pop(str(identity), None)

    def take_first_early_deadline(self) -> EarlyLabel | None:
        """Remove and return the early label with the earliest deadline on the stream."""
        return self.early_due(FOREVER)

    def early_due(self, before: int) -> EarlyLabel | None:
        """As `due`, for early labels."""
        heap = self._early_by_time
        while heap and heap[0][0] + self.wait < before:
            _, offset, name = heappop(heap)
            found = self.early.get(name)
            if found is not None and found.record.offset == offset:
                return self.early.pop(name)
        return None

    def early_due_by_clock(self, now: int) -> EarlyLabel | None:
        """As `due_by_clock`, for early labels."""
        for name, found in islice(self.early.items(), 1):
            if max(found.time, found.received_at) + self.wait < now:
                return self.early.pop(name)
        return None

    # -- completed ids --------------------------------------------------------------------------

    def complete(self, identity: str | int, time: int, now: int, *, expired: bool) -> None:
        """Remember that an id was completed at a time of the stream, and of the clock (ms)."""
        if self.store.remember(str(identity), CompletedId(time, now, expired)):
            self.forgotten += 1  # its first completion
        self._count_completion(time, now)
        self._forget()

    def _count_completion(self, time: int, now: int) -> None:
        """Count a completion at a time of the stream, and of the clock (ms)."""
        self.completions += 1
        # A message that tells no time counts as one of this moment, and says nothing of the stream.
        stream, clock = self.latest
        self.latest = (max(stream, time if time < now else 0), max(clock, now))

    def unmatched_as(self, identity: str | int, time: int) -> str | None:
        """Classify a label without a pending prediction: `duplicate`, `late`, or None for early."""
        name = str(identity)
        if name in self.early:
            return "duplicate"
        completed = self._recently_completed(name, time)
        if completed is None:
            return None
        return "late" if completed.expired else "duplicate"

    def _recently_completed(self, name: str, time: int) -> CompletedId | None:
        completed = self.store.recall(name)
        if completed is None or self._is_past(completed) or completed.time + self.wait < time:
            return None
        return completed

    def _is_past(self, completed: CompletedId) -> bool:
        """Whether an id was completed more than one wait ago, by the stream or by the clock."""
        stream, clock = self.latest
        return completed.time + self.wait < stream or completed.at + self.wait < clock

    def _forget(self) -> None:
        """Forget what is past, so that memory is bounded by what is completed within one wait."""
        store = self.store
        while (oldest := store.oldest_resolved()) is not None:
            if not self._is_past(oldest) and store.remembered() <= self._most:
                return
            store.forget_oldest()
            self.forgotten += 1

    # -- replay ---------------------------------------------------------------------------------

    def start_clocks(self, stream: int, clock: int) -> None:
        """Begin a replay where the latest completions were at these times (ms)."""
        self.latest = (stream, clock)

    def replay_completion(
        self, identity: str | int, source: int, completed: CompletedId, *, label: int | None,
        stored: bool,
    ) -> None:  # fmt: skip
        """Apply a logged completion of the prediction on the event at offset `source`.

        `label`: offset of the label that completed it, None if it expired. `stored`: whether the
        store contains the completion already.
        """
        early = self.early.get(str(identity))
        if early is not None and early.record.offset == label:
            self.take_early(identity)
        if stored:  # and still remembered, where it was
            self._count_completion(completed.time, completed.at)
        else:
            self.drop_pending(identity, source)
            self.complete(identity, completed.time, completed.at, expired=completed.expired)

    def replace_pending(self, prediction: PendingPrediction) -> None:
        """Let a logged prediction wait instead of the one that an earlier owner made of its id."""
        self.take_pending(prediction.id)
        self.add_pending(prediction)

    def drop_pending(self, identity: str | int, source: int) -> None:
        """Remove the prediction on the event at offset `source`, if it waits under this id."""
        self.store.discard(str(identity), source)

    # -- the clock ------------------------------------------------------------------------------

    def overdue(self, now: int) -> list[InputName]:
        """Return the inputs whose absence lets something expire by the clock."""
        inputs: list[InputName] = []
        if self._oldest_since(now - self.wait) is not None:
            inputs.append("labels")
        early = next(iter(self.early.values()), None)
        if early and max(early.time, early.received_at) + self.wait < now:
            inputs.append("events")
        return inputs
