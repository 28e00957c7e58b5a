"""Rebalances of Faust's consumer, run in the loop's thread as confluent-kafka's callbacks."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

from confluent_kafka import TopicPartition

from millstream.errors import Stop
from millstream.runners.faust.partition_buffer import TopicAndPartition

Callback = Callable[[Any, list[TopicPartition]], None]
Kind = Literal["assign", "revoke", "lost"]


class Callbacks(NamedTuple):
    """Called with the consumer and its partitions of events."""

    assign: Callback
    revoke: Callback
    lost: Callback


class _Change(NamedTuple):
    """A rebalance that the loop has not run yet."""

    kind: Kind
    partitions: list[TopicPartition]
    done: "Future[None]"
    generation: int


class Rebalances:
    """A queue of rebalances, and the partitions and the generation that the loop has."""

    def __init__(
        self, events: str, labels: str | None, changed: threading.Condition,
        released: Callable[[int], None],
    ) -> None:  # fmt: skip
        """`changed` guards the queue; `released` is called with a generation that has ended."""
        self._events = events
        self._labels = labels
        self._changed = changed
        self._released = released
        self._queue: deque[_Change] = deque()
        self._callbacks: Callbacks | None = None
        self._assigned: list[TopicPartition] = []
        self.generation = -1
        """The group's generation that the loop works in; -1 outside of the group."""

    # -- for Faust's threads, which hold the lock -------------------------------------------------

    def add(
        self, kind: Kind, partitions: Iterable[TopicAndPartition], generation: int
    ) -> "Future[None]":
        """Queue a rebalance; done when the loop has run it."""
        done: Future[None] = Future()
        listed = [TopicPartition(*partition) for partition in partitions]
        self._queue.append(_Change(kind, listed, done, generation))
        self._changed.notify()
        return done

    def lose(self) -> None:
        """Turn queued revocations into losses."""
        self._queue = deque(
            change._replace(kind="lost") if change.kind == "revoke" else change
            for change in self._queue
        )

    def clear(self) -> None:
        """Forget what is queued."""
        self._queue.clear()

    # -- for the loop -----------------------------------------------------------------------------

    def subscribe(self, callbacks: Callbacks) -> None:
        """Set what is called."""
        self._callbacks = callbacks

    def pending(self) -> bool:
        """Whether something is queued."""
        return bool(self._queue)

    def run(self, consumer: object) -> None:
        """Run what is queued; raises Stop where labels do not come with their events."""
        while True:
            with self._changed:
                if not self._queue:
                    return
                change = self._queue.popleft()
            try:
                if change.kind == "assign":
                    self._check_labels(change.partitions)
                    self.generation = change.generation
                    self._assign(consumer, change.partitions)
                else:
                    old = self.generation
                    self._release(consumer, change.kind)
                    self.generation = -1
                    self._released(old)
            finally:
                change.done.set_result(None)

    def close(self, consumer: object) -> None:
        """Run what is queued, and revoke what the loop still has."""
        self.run(consumer)
        self._release(consumer, "revoke")

    def _assign(self, consumer: object, partitions: list[TopicPartition]) -> None:
        self._release(consumer, "lost")  # of an assignment that ended without a revocation
        self._assigned = [each for each in partitions if each.topic == self._events]
        if self._assigned:
            self._subscribed().assign(consumer, self._assigned)

    def _release(self, consumer: object, kind: Literal["revoke", "lost"]) -> None:
        partitions, self._assigned = self._assigned, []
        if partitions:
            getattr(self._subscribed(), kind)(consumer, partitions)

    def _subscribed(self) -> Callbacks:
        if self._callbacks is None:
            raise AssertionError("the loop subscribes before it polls")
        return self._callbacks

    def _check_labels(self, partitions: list[TopicPartition]) -> None:
        """Partition p of labels has to come with partition p of events."""
        if self._labels is None:
            return
        events = {each.partition for each in partitions if each.topic == self._events}
        labels = {each.partition for each in partitions if each.topic == self._labels}
        if events != labels:
            raise Stop(
                f"the group gave this worker partitions {sorted(events)} of {self._events}, but "
                f"{sorted(labels)} of {self._labels}: all workers of this Faust app have to be "
                "attached to the same settings, and both topics need equally many partitions"
            )
