"""A consumer that another program fills: what Faust fetches, in the worker's loop.

To the loop it is a confluent-kafka consumer, as far as the loop needs one, and the loop's thread
is the only one that may call those methods. Faust's threads hand over messages, partitions and
what they know of the ends of logs.

What makes the weights exact is one rule: **records are taken in the order of their offsets, none
left out.** Faust may hand a record over twice (it seeks back to what is committed), or not at all
(it had fetched it when something paused its partition). So a record below the one that is due is
passed over; and before one that lies beyond it, whatever is between is read from the log itself,
unless the fetch that brought it shows that nothing is there.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import BROKER_TIMEOUT_SECONDS, LogReader, OffsetRange
from millstream.runners.faust.partition_buffer import (
    EndOfLog,
    FaustRecord,
    FetchedTo,
    PartitionBuffer,
    TopicAndPartition,
)

log = logging.getLogger(__name__)

FILL_RECORDS: Final = 50_000
"""How long a stretch is read at a time of what Faust did not hand over."""
FILL_SECONDS: Final = 10.0
"""How long that may take before the loop has its turn again."""
REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for the loop to let go of partitions: longer than a batch and its last
snapshots take, shorter than Kafka waits for a member (Faust's `broker_rebalance_timeout`)."""

Callback = Callable[[Any, list[TopicPartition]], None]


class BridgedGroup(Protocol):
    """What the feed asks of the consumer that is a member of the group."""

    def commit(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        """Commit with metadata, as the member of this generation.

        Returns when it is done. Raises KafkaException where the group refuses, or does not answer.
        """


class _Change(NamedTuple):
    """A call of the loop's that is due."""

    kind: str
    places: list[TopicPartition]
    done: "Future[None]"
    generation: int


@dataclass(slots=True)
class _Callbacks:
    assign: Callback
    revoke: Callback
    lost: Callback


class ConsumerBridge:
    """Between the threads of Faust and that of the worker's loop."""

    def __init__(self, settings: Settings, group: BridgedGroup) -> None:
        """Connects when the loop begins (`open`)."""
        self._settings = settings
        self._group = group
        self._events = settings.events.topic
        self._labels = settings.inputs.get("labels")
        self._changed = threading.Condition()
        self._lots: dict[TopicAndPartition, PartitionBuffer] = {}
        self._changes: deque[_Change] = deque()
        self._callbacks: _Callbacks | None = None
        self._generation = -1
        self._turn = 0
        self._serving = False
        self._ours: list[TopicPartition] = []
        self.held: frozenset[TopicAndPartition] = frozenset()
        """What Faust shall fetch no more of for now."""

    @property
    def topics(self) -> frozenset[str]:
        """The topics that messages are taken from."""
        return frozenset({self._events, *([self._labels] if self._labels else [])})

    # -- for Faust's threads ----------------------------------------------------------------------

    def assign(self, places: Collection[TopicAndPartition], generation: int) -> None:
        """The group gave this member partitions: before any message of them is handed over."""
        ours = sorted(place for place in places if place[0] in self.topics)
        with self._changed:
            self._lots = {place: PartitionBuffer(*place, generation) for place in ours}
            self.held = frozenset()
            self._change("assign", ours, generation)

    def revoke(self) -> "Future[None]":
        """The group takes all partitions back; done when the loop has let go of them."""
        with self._changed:
            ours = sorted(self._lots)
            if not self._serving:
                self._lots, self.held = {}, frozenset()
                self._changes.clear()
                done: Future[None] = Future()
                done.set_result(None)
                return done
            return self._change("revoke", ours, -1)

    def lose(self) -> None:
        """The loop did not let go in time: what it still does of these partitions cannot count."""
        with self._changed:
            self._lots, self.held = {}, frozenset()
            self._changes = deque(
                change._replace(kind="lost") if change.kind == "revoke" else change
                for change in self._changes
            )

    def put(self, messages: Iterable[Any]) -> None:
        """Messages of Faust, in the order in which it gave them."""
        with self._changed:
            for message in messages:
                lot = self._lots.get((message.topic, message.partition))
                if lot is not None:
                    lot.put(message)
            held = frozenset(place for place, lot in self._lots.items() if lot.is_full())
            if held - self.held:
                self.held |= held
            self._changed.notify()

    def fetched(
        self, place: TopicAndPartition, to: FetchedTo, gaps: Mapping[int, tuple[int, bool]]
    ) -> None:
        """How far a partition is fetched, and between which records of it there is nothing.

        `gaps`: offset of a record to the offset after the one before it, and whether both came in
        one answer.
        """
        with self._changed:
            lot = self._lots.get(place)
            if lot is not None:
                lot.fetched = to
                lot.gaps.update(gaps)
                self._changed.notify()

    def waiting_for(self) -> dict[TopicAndPartition, int]:
        """The offset that Faust has to hand over next, for each partition that is not held back."""
        with self._changed:
            return {
                place: max(lot.received + 1, lot.next)
                for place, lot in self._lots.items()
                if lot.next is not None and place not in self.held
            }

    def _change(
        self, kind: str, places: Iterable[TopicAndPartition], generation: int
    ) -> "Future[None]":
        done: Future[None] = Future()
        listed = [TopicPartition(*place) for place in places]
        self._changes.append(_Change(kind, listed, done, generation))
        self._changed.notify()
        return done

    # -- for the loop, as confluent-kafka's consumer has it ----------------------------------------

    def open(self) -> "ConsumerBridge":
        """Connect; from now on the loop answers."""
        config = reader_config(self._settings)
        # In the group's name, but with neither subscription nor assignment: it only asks.
        self._asker = Consumer({**config, "group.id": self._settings.app})
        self._reader = LogReader(config)
        self._serving = True
        return self

    def subscribe(
        self, _topics: list[str], on_assign: Callback, on_revoke: Callback, on_lost: Callback
    ) -> None:
        """Faust has subscribed; what it is given comes to these."""
        self._callbacks = _Callbacks(on_assign, on_revoke, on_lost)

    def poll(self, timeout: float) -> Any:
        """The next message, or None; callbacks of the group come within this call alone."""
        self._run_changes()
        found = self._take(1)
        if not found:
            with self._changed:
                if not self._changes:
                    self._changed.wait(timeout)
            self._run_changes()
            found = self._take(1)
        return found[0] if found else None

    def consume(self, most: int, _timeout: float) -> list[Any]:
        """What is at hand."""
        return self._take(most)

    def memberid(self) -> str:
        """Whose batch this is: another one after each rebalance, empty outside of the group."""
        return "" if self._generation < 0 else f"generation-{self._generation}"

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """What the group has committed."""
        answers: list[TopicPartition] = self._asker.committed(places, timeout=timeout)
        return answers

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        """Commit as the member that the loop knows itself to be; raises KafkaException."""
        if asynchronous:
            raise ValueError("offsets are committed where the loop waits for it")
        self._group.commit(offsets, self._generation)

    def seek(self, place: TopicPartition) -> None:
        """Go on from an offset, wherever Faust is."""
        with self._changed:
            lot = self._lots.get((place.topic, place.partition))
            if lot is not None:
                lot.seek(place.offset)

    def pause(self, places: list[TopicPartition]) -> None:
        """Give out nothing of these."""
        self._set_paused(places, paused=True)

    def resume(self, places: list[TopicPartition]) -> None:
        """Give out messages of these again."""
        self._set_paused(places, paused=False)

    def _set_paused(self, places: list[TopicPartition], *, paused: bool) -> None:
        with self._changed:
            for place in places:
                lot = self._lots.get((place.topic, place.partition))
                if lot is not None:
                    lot.paused = paused

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        """Faust fetches by itself."""

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        """Faust fetches by itself."""

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = BROKER_TIMEOUT_SECONDS, *,
        cached: bool = False,
    ) -> tuple[int, int]:  # fmt: skip
        """Beginning and end of a log, as of the last fetch or (not cached) as the broker says."""
        if not cached:
            low, high = self._asker.get_watermark_offsets(place, timeout=timeout)
            return int(low), int(high)
        with self._changed:
            lot = self._lots.get((place.topic, place.partition))
            return 0, -1 if lot is None or lot.fetched is None else lot.fetched.end

    def close(self) -> None:
        """The loop ends: give partitions back in its own way, and answer no more."""
        with self._changed:
            self._serving = False
        try:
            self._run_changes()
            if self._ours:
                self._call("revoke", self._ours)
        finally:
            with self._changed:
                self._lots, self.held = {}, frozenset()
            self._reader.close()
            self._asker.close()

    # -- rebalances -------------------------------------------------------------------------------

    def _run_changes(self) -> None:
        while True:
            with self._changed:
                if not self._changes:
                    return
                change = self._changes.popleft()
            try:
                if change.kind == "assign":
                    self._check_sides(change.places)
                    self._generation = change.generation
                    self._call("assign", change.places)
                else:
                    old = self._generation
                    if self._ours:
                        self._call(change.kind, self._ours)
                    self._generation = -1
                    with self._changed:
                        # Where the loop was late, those of the next assignment are there already.
                        self._lots = {p: x for p, x in self._lots.items() if x.generation != old}
            finally:
                change.done.set_result(None)

    def _call(self, kind: str, places: list[TopicPartition]) -> None:
        if self._callbacks is None:
            raise AssertionError("the loop subscribes before it polls")
        events = [place for place in places if place.topic == self._events]
        callback = getattr(self._callbacks, kind)
        if kind == "assign":
            # A member that has lost partitions without being told is told now.
            if self._ours:
                self._callbacks.lost(self, self._ours)
            self._ours = events
        else:
            self._ours = []
        if events:
            callback(self, events)

    def _check_sides(self, places: list[TopicPartition]) -> None:
        """Partition p of labels has to come with partition p of events."""
        if self._labels is None:
            return
        events = {place.partition for place in places if place.topic == self._events}
        labels = {place.partition for place in places if place.topic == self._labels}
        if events != labels:
            raise Stop(
                f"the group gave this worker partitions {sorted(events)} of {self._events}, but "
                f"{sorted(labels)} of {self._labels}: all workers of this Faust app have to be "
                "attached to the same settings, and both topics need equally many partitions"
            )

    # -- messages ---------------------------------------------------------------------------------

    def _take(self, most: int) -> list[Any]:
        """Up to so many messages, of each partition in the order of its offsets."""
        taken: list[Any] = []
        with self._changed:
            lots = [lot for lot in self._lots.values() if lot.is_open()]
        if not lots:
            return taken
        self._turn = (self._turn + 1) % len(lots)
        for lot in lots[self._turn :] + lots[: self._turn]:
            if len(taken) >= most:
                break
            self._take_of(lot, most, taken)
        with self._changed:
            if self.held:
                self.held = frozenset(
                    place for place in self.held
                    if place in self._lots and not self._lots[place].is_drained()
                )  # fmt: skip
        return taken

    def _take_of(self, lot: PartitionBuffer, most: int, taken: list[Any]) -> None:
        with self._changed:
            taken += lot.take(most - len(taken))
            gap = lot.gap()
        if gap is not None:
            self._close_gap(lot, gap)
            with self._changed:
                taken += lot.take(most - len(taken))
            return
        if len(taken) >= most:
            return
        with self._changed:
            end = lot.end_to_tell()
        if end is not None:
            taken.append(EndOfLog(lot.topic, lot.partition, end))

    def _close_gap(self, lot: PartitionBuffer, end: int) -> None:
        """Find out what lies between the record that is due and `end`."""
        start = lot.floor
        if lot.is_known_gap(end):
            low, _ = self._asker.get_watermark_offsets(
                TopicPartition(lot.topic, lot.partition), timeout=BROKER_TIMEOUT_SECONDS
            )
            if low <= start:  # else retention has passed what was due, and the reader says so
                lot.sure = end
                return
        end = min(end, start + FILL_RECORDS)
        found: list[Record] = []
        self._reader.open(OffsetRange(lot.topic, lot.partition, start, end, found.extend))
        until = time.monotonic() + FILL_SECONDS
        while not self._reader.done():
            if time.monotonic() > until:
                self._reader.close()
                return  # again at the next turn
            self._reader.step(0.1)
        if found:
            log.info(
                "records read that Faust did not hand over",
                extra={"topic": lot.topic, "partition": lot.partition, "records": len(found),
                       "start": start, "end": end},
            )  # fmt: skip
        with self._changed:
            lot.fill(found, end)


def refused(reason: str) -> KafkaException:
    """What a commit raises that the group did not take."""
    return KafkaException(KafkaError(KafkaError._STATE, reason))  # noqa: SLF001 - its public name


__all__ = ["BridgedGroup", "ConsumerBridge", "EndOfLog", "FaustRecord", "FetchedTo", "refused"]
