"""Predictions that wait for their labels, and labels that wait for their predictions.

The rules, all on the clock of the stream (message times, see `merge`), never on fetch luck:

- An id waits once. An event whose id waits already, or was resolved less than one wait ago, is a
  *repeat*: it is predicted and counted, but its label belongs to the first one.
- A label joins the prediction that waits under its id; from then on the id is *resolved*.
- A label whose id was resolved by a label less than one wait ago is a *duplicate*; by expiry, it
  is *late*. Any other label is early: it is *held*, and joins its event when that comes.
- A prediction is due when a record of a later time than its deadline (event time + wait) is taken
  while a label is at hand; or, with the labels topic at its end, by the clock. So is a held label,
  with events and labels exchanged.
"""

from heapq import heappop, heappush
from typing import Any, NamedTuple

from millstream.core.models.learner import Label
from millstream.core.records import Record, Side

MAX_STALE = 1_000
"""How many entries of a heap may be stale, besides as many as there are others."""


class Waiting(NamedTuple):
    """A prediction that waits for its label."""

    id: str | int
    offset: int
    """Source offset of the event."""
    time: int
    """Event time, ms."""
    predicted_at: int
    """When it was predicted by the worker's clock, ms."""
    key: bytes | None
    example: dict[str, Any]
    """What the example will say of it: features (as they were), transformed, prediction."""


class Held(NamedTuple):
    """An early label."""

    id: str | int
    label: Label
    time: int
    """Message time, ms."""
    held_at: int
    """When it was taken by the worker's clock, ms."""
    record: Record
    """The message itself, for the dead letter if its event never comes."""


class Resolved(NamedTuple):
    """An id that no longer waits."""

    time: int
    """Stream time when it was resolved, ms."""
    at: int
    """The same on the worker's clock, ms."""
    expired: bool


class Join:
    """The state machine of the join; knows nothing of models or topics."""

    def __init__(self, wait: int) -> None:
        """`wait` in milliseconds."""
        self._wait = wait
        # In the order of their arrival, which is that of the clock.
        self.waiting: dict[str, Waiting] = {}
        self.held: dict[str, Held] = {}
        self._resolved: dict[str, Resolved] = {}
        # (time, offset, id) by time; entries that no longer wait are passed over when met.
        self._waiting_by_time: list[tuple[int, int, str]] = []
        self._held_by_time: list[tuple[int, int, str]] = []
        self.resolutions = 0
        """How many ids were ever resolved."""
        self.forgotten = 0
        """So many of them at least, the first ones, are remembered no more."""

    def oldest_waiting(self) -> int | None:
        """Source offset of the prediction that waits longest."""
        return next((each.offset for each in self.waiting.values()), None)

    def oldest_held(self) -> int | None:
        """Offset of the label that is held longest."""
        return next((each.record.offset for each in self.held.values()), None)

    def is_repeat(self, identity: str | int, time: int) -> bool:
        """Whether an event of this id at this time does not wait for a label of its own."""
        name = str(identity)
        return name in self.waiting or self._lately_resolved(name, time) is not None

    def await_label(self, prediction: Waiting) -> None:
        """Let a prediction wait."""
        name = str(prediction.id)
        self.waiting[name] = prediction
        heappush(self._waiting_by_time, (prediction.time, prediction.offset, name))
        if len(self._waiting_by_time) > 2 * len(self.waiting) + MAX_STALE:
            # What expired by the clock is still in here, and only labels would take it out.
            self._waiting_by_time = sorted(
                (each.time, each.offset, each_name) for each_name, each in self.waiting.items()
            )

    def hold(self, label: Held) -> None:
        """Keep an early label."""
        name = str(label.id)
        self.held[name] = label
        heappush(self._held_by_time, (label.time, label.record.offset, name))

    def take_waiting(self, identity: str | int) -> Waiting | None:
        """The prediction that waits under an id, which waits no longer."""
        return self.waiting.pop(str(identity), None)

    def take_held(self, identity: str | int) -> Held | None:
        """The label held under an id, which is held no longer."""
        return self.held.pop(str(identity), None)

    def resolve(self, identity: str | int, time: int, now: int, *, expired: bool) -> None:
        """Remember that an id was resolved at a time of the stream, and of the clock."""
        name = str(identity)
        # Taken out first, so that the order of the memory is that of resolution.
        self._resolved.pop(name, None)
        self.resolutions += 1
        self._resolved[name] = Resolved(time, now, expired)

    def unmatched_as(self, identity: str | int, time: int) -> str | None:
        """What a label without a waiting prediction is: `duplicate`, `late`, or None for early."""
        name = str(identity)
        if name in self.held:
            return "duplicate"
        resolved = self._lately_resolved(name, time)
        if resolved is None:
            return None
        return "late" if resolved.expired else "duplicate"

    def due(self, before: int) -> Waiting | None:
        """The prediction of the earliest deadline that lies before a time of the stream."""
        heap = self._waiting_by_time
        while heap and heap[0][0] + self._wait < before:
            _, offset, name = heappop(heap)
            found = self.waiting.get(name)
            if found is not None and found.offset == offset:
                return self.waiting.pop(name)
        return None

    def due_by_clock(self, now: int) -> Waiting | None:
        """The prediction that waits longest, if it has waited long enough by the clock."""
        for name, found in self.waiting.items():
            if max(found.time, found.predicted_at) + self._wait < now:
                return self.waiting.pop(name)
            break
        return None

    def overdue(self, now: int) -> list[Side]:
        """The sides on which an absence lets something expire by the clock: labels, events."""
        sides: list[Side] = []
        waiting = next(iter(self.waiting.values()), None)
        if waiting and max(waiting.time, waiting.predicted_at) + self._wait < now:
            sides.append("labels")
        held = next(iter(self.held.values()), None)
        if held and max(held.time, held.held_at) + self._wait < now:
            sides.append("events")
        return sides

    def held_due(self, before: int) -> Held | None:
        """As `due`, for held labels."""
        heap = self._held_by_time
        while heap and heap[0][0] + self._wait < before:
            _, offset, name = heappop(heap)
            found = self.held.get(name)
            if found is not None and found.record.offset == offset:
                return self.held.pop(name)
        return None

    def held_due_by_clock(self, now: int) -> Held | None:
        """As `due_by_clock`, for held labels."""
        for name, found in self.held.items():
            if max(found.time, found.held_at) + self._wait < now:
                return self.held.pop(name)
            break
        return None

    def _lately_resolved(self, name: str, time: int) -> Resolved | None:
        resolved = self._resolved.get(name)
        return resolved if resolved is not None and resolved.time + self._wait >= time else None

    def forget(self, time: int, now: int) -> None:
        """Drop memories of ids that no label meets any more, at this time of the stream or clock.

        Memory stays bounded by what is resolved within one wait, as the stream or the clock has it.
        """
        while self._resolved:
            name, oldest = next(iter(self._resolved.items()))
            if oldest.time + self._wait >= time and oldest.at + self._wait >= now:
                return
            del self._resolved[name]
            self.forgotten += 1
