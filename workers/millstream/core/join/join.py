"""Predictions that wait for their labels, and labels that wait for their predictions.

The rules, all on the clock of the stream (message times, see `merge`), never on fetch luck:

- An id waits once. An event whose id waits already, or was resolved less than one wait ago, is a
  *repeat*: it is predicted and counted, but its label belongs to the first one.
- A label joins the prediction that waits under its id; from then on the id is *resolved*.
- A label whose id was resolved by a label less than one wait ago is a *duplicate*; by expiry, it
  is *late*. Any other label is early: it is *held*, and joins its event when that comes.
- What lies one wait behind the latest resolution is forgotten. Every resolution is a record of the
  log, so a shard that was restored from anywhere in it has forgotten the same.
- A prediction is due when a record of a later time than its deadline (event time + wait) is taken
  while a label is at hand; or, with the labels topic at its end, by the clock. So is a held label,
  with events and labels exchanged.
- At most `most` predictions wait, as many labels are held, as many resolved ids remembered. What
  happens at the first two bounds is the shard's to say (`full`, `held_full`); of the ids, the one
  resolved first is forgotten.
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
"""Of each kind, unless said otherwise."""
FOREVER = 2**63 - 1
"""Later than any time, ms."""


class EarlyLabel(NamedTuple):
    """An early label."""

    id: str | int
    label: Label
    time: int
    """Message time, ms."""
    held_at: int
    """When it was taken by the worker's clock, ms."""
    record: Record
    """The message itself, for the dead letter if its event never comes."""


class LabelJoin:
    """The state machine of the join; knows nothing of models or topics."""

    def __init__(self, wait: int, store: PendingStore | None = None, most: int = MOST) -> None:
        """`wait` in milliseconds; `store` is empty, and this join's alone (None: in memory)."""
        self._wait = wait
        self._most = most
        self.store: PendingStore = MemoryPendingStore() if store is None else store
        # In the order of their arrival, which is that of the clock.
        self.held: dict[str, EarlyLabel] = {}
        # (time, offset, id) by time; entries that are no longer held are passed over when met.
        self._held_by_time: list[tuple[int, int, str]] = []
        self.latest = (0, 0)
        """The latest times at which an id was resolved: of the stream, and by the clock, ms."""
        self._none_since = 0
        """None of the predictions has waited since before this time by the clock, ms."""
        self.resolutions = 0
        """How many ids were ever resolved."""
        self.forgotten = 0
        """So many of them at least, the first ones, are remembered no more."""

    def oldest_waiting(self) -> int | None:
        """Source offset of the event whose prediction waits longest."""
        waiting = self.store.oldest()
        return None if waiting is None else waiting.offset

    def oldest_held(self) -> int | None:
        """Offset of the label that is held longest."""
        return next((each.record.offset for each in self.held.values()), None)

    # -- predictions ----------------------------------------------------------------------------

    def is_repeat(self, identity: str | int, time: int) -> bool:
        """Whether an event of this id at this time does not wait for a label of its own."""
        name = str(identity)
        return name in self.store or self._lately_resolved(name, time) is not None

    def full(self) -> bool:
        """Whether as many predictions wait as may."""
        return len(self.store) >= self._most

    def await_label(self, prediction: PendingPrediction) -> None:
        """Let a prediction wait, room or not: a log may hold more than may wait today."""
        self.store.add(prediction)

    def take_waiting(self, identity: str | int) -> PendingPrediction | None:
        """The prediction that waits under an id, which waits no longer."""
        return self.store.take(str(identity))

    def take_first_deadline(self) -> PendingPrediction | None:
        """The prediction that would be the first to expire on the stream; it waits no longer."""
        return self.store.take_due(FOREVER)

    def due(self, before: int) -> PendingPrediction | None:
        """The prediction of the earliest deadline that lies before a time of the stream."""
        return self.store.take_due(before - self._wait)

    def due_by_clock(self, now: int) -> PendingPrediction | None:
        """The prediction that waits longest, if it has waited long enough by the clock."""
        found = self._oldest_since(now - self._wait)
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

    def held_full(self) -> bool:
        """Whether as many labels are held as may be."""
        return len(self.held) >= self._most

    def hold(self, label: EarlyLabel) -> None:
        """Keep an early label."""
        name = str(label.id)
        self.held[name] = label
        heappush(self._held_by_time, (label.time, label.record.offset, name))

    def take_held(self, identity: str | int) -> EarlyLabel | None:
        """The label held under an id, which is held no longer."""
        return self.held.pop(str(identity), None)

    def take_first_held_deadline(self) -> EarlyLabel | None:
        """The held label that would be the first to be given up; it is held no longer."""
        return self.held_due(FOREVER)

    def held_due(self, before: int) -> EarlyLabel | None:
        """As `due`, for held labels."""
        heap = self._held_by_time
        while heap and heap[0][0] + self._wait < before:
            _, offset, name = heappop(heap)
            found = self.held.get(name)
            if found is not None and found.record.offset == offset:
                return self.held.pop(name)
        return None

    def held_due_by_clock(self, now: int) -> EarlyLabel | None:
        """As `due_by_clock`, for held labels."""
        for name, found in islice(self.held.items(), 1):
            if max(found.time, found.held_at) + self._wait < now:
                return self.held.pop(name)
        return None

    # -- resolved ids ---------------------------------------------------------------------------

    def resolve(self, identity: str | int, time: int, now: int, *, expired: bool) -> None:
        """Remember that an id was resolved at a time of the stream, and of the clock."""
        if self.store.remember(str(identity), CompletedId(time, now, expired)):
            self.forgotten += 1  # its first resolution
        self.count_resolution(time, now)
        self._forget()

    def count_resolution(self, time: int, now: int) -> None:
        """An id was resolved at a time of the stream, and of the clock."""
        self.resolutions += 1
        # A message that tells no time counts as one of this moment, and says nothing of the stream.
        stream, clock = self.latest
        self.latest = (max(stream, time if time < now else 0), max(clock, now))

    def unmatched_as(self, identity: str | int, time: int) -> str | None:
        """What a label without a waiting prediction is: `duplicate`, `late`, or None for early."""
        name = str(identity)
        if name in self.held:
            return "duplicate"
        resolved = self._lately_resolved(name, time)
        if resolved is None:
            return None
        return "late" if resolved.expired else "duplicate"

    def _lately_resolved(self, name: str, time: int) -> CompletedId | None:
        resolved = self.store.recall(name)
        if resolved is None or self._is_past(resolved) or resolved.time + self._wait < time:
            return None
        return resolved

    def _is_past(self, resolved: CompletedId) -> bool:
        """Whether an id was resolved more than one wait ago, as the stream or the clock has it."""
        stream, clock = self.latest
        return resolved.time + self._wait < stream or resolved.at + self._wait < clock

    def _forget(self) -> None:
        """Drop what is past, so that memory is bounded by what is resolved within one wait."""
        store = self.store
        while (oldest := store.oldest_resolved()) is not None:
            if not self._is_past(oldest) and store.remembered() <= self._most:
                return
            store.forget_oldest()
            self.forgotten += 1

    # -- the clock ------------------------------------------------------------------------------

    def overdue(self, now: int) -> list[InputName]:
        """The sides on which an absence lets something expire by the clock: labels, events."""
        sides: list[InputName] = []
        if self._oldest_since(now - self._wait) is not None:
            sides.append("labels")
        held = next(iter(self.held.values()), None)
        if held and max(held.time, held.held_at) + self._wait < now:
            sides.append("events")
        return sides
