"""A shard whose labels come on a topic of their own, later than the events or earlier.

Predictions and examples are its logs. Weights are the fold of `examples` in the order of their
offsets; what waits is the fold of `predictions` minus `examples`; and whatever else changes the
shard (an expiry, an early label that is held, one that is given up) is a record in `examples` too.
So nothing here lives in memory alone, and no replay ever asks a clock.

    events --+                    +-- predictions   (waits: true)
             +-- Merge -- Join ---+-- examples      (learned, expired, held, unmatched, failed)
    labels --+                    +-- dead letters
"""

from collections.abc import Mapping
from typing import Any

from millstream.core.formats.labels import LabelMessage, LabelReader
from millstream.core.join.capacity import CapacityPolicy
from millstream.core.join.join import EarlyLabel, PendingPrediction
from millstream.core.join.merge import BufferedRecord, EventTimeMerge, OrderTimes
from millstream.core.join.pending_store import PendingStore, compact
from millstream.core.join.replay_points import ReplayPoint, ReplayPoints
from millstream.core.processing.partition_processor import Confirmed, Ends, ProcessorConfig, Records
from millstream.core.processing.training_log import TrainingLog
from millstream.core.records import outputs
from millstream.core.records.event import Event
from millstream.core.records.record import UNREADABLE_HEADERS, BatchResult, InputName, Record
from millstream.errors import DeadLetter


class DelayedLabelProcessor(TrainingLog):
    """One partition of events and of labels, joined by id."""

    sides = ("events", "labels")

    def __init__(
        self, plan: ProcessorConfig, owner: int = 0, store: PendingStore | None = None
    ) -> None:
        """A shard before its first record; `owner` is the epoch that its outputs carry.

        `store` is where predictions wait, and holds what the fold is not to fill in (None: an
        empty one in memory).
        """
        super().__init__(plan, owner, store)
        labels = plan.settings_versions[-1].labels
        self._at_max = CapacityPolicy(labels, plan.source.partition)
        self.merge = EventTimeMerge(labels.max_idle)
        self.marks = ReplayPoints()
        """Where in the logs the join's memory begins."""
        self._label_reader = LabelReader(
            plan.settings_versions[-1].events, labels, self.learner, plan.model.classes, plan.codecs
        )
        self._turns = OrderTimes(
            events=plan.settings_versions[-1].events.timestamp is not None,
            labels=labels.timestamp is not None,
        )
        self.predicted_already: dict[int, PendingPrediction] = {}
        """At least once only: predictions whose offsets were not committed, by source offset."""
        self.predicted_offsets: set[int] = set()
        """At least once only: all events that have a prediction though no offset says so. (Not all
        below the highest: a broker may have taken one prediction and refused the one before.)"""
        self.labels_floor = 0
        """Labels below were worked off before, whatever the committed offset says."""
        self.events_floor = 0
        """At or above it, no event has a prediction yet."""

    def committed(self) -> None:
        """All outcomes so far are committed."""
        self.join.store.commit()

    def waiting(self) -> int:
        """How many predictions wait for their label."""
        return len(self.join.store)

    def held(self) -> int:
        """How many early labels wait for their event."""
        return len(self.join.held)

    def backlog(self, side: InputName) -> int:
        """How many fetched records of a side are not yet taken."""
        return len(self.merge.queues[side])

    def mark(self, positions: Mapping[InputName, int], predictions: int, examples: int) -> None:
        """Remember where the logs ended a moment ago, and how far the inputs are taken now.

        Not while it goes over what it did before a crash, or before somebody moved the offsets
        back: outputs of inputs that are still to come stand in the logs already then.
        """
        events, labels, join = positions["events"], positions["labels"], self.join
        if events >= self.events_floor and labels >= self.labels_floor:
            ends = (predictions, examples)
            self.marks.add(ReplayPoint(events, labels, *ends, join.resolutions, *join.latest))

    # -- the order of things ------------------------------------------------------------------

    def process(
        self,
        records: Records,
        ends: Ends,
        now: int,
        confirmed: Confirmed | None = None,
        most: int | None = None,
    ) -> BatchResult:
        """Take what the merge lets through, and let expire what is due before it.

        `confirmed`: when the broker last said that a side is at its end (ms; None: now): what
        expires by the clock expires by that one, as a worker that was frozen, or cut off, does not
        know what came meanwhile. `most`: how many records to take at the most.
        """
        out = BatchResult()
        for side in self.sides:
            self.merge.add(
                side, [self._item(side, record, now) for record in records.get(side, ())]
            )
        self.merge.mark_ends(dict(ends))
        while most is None or out.taken < most:
            side_now = self.merge.next_side(now)
            if side_now is None:
                self._let_expire_by_clock(now, confirmed, out)
                break
            item = self.merge.queues[side_now][0]
            self._let_expire_before(item, now, out)
            if self._at_max.stops and self._at_max.needs_room(item, self.join):
                self._let_expire_by_clock(now, confirmed, out)
                if self._at_max.needs_room(item, self.join):
                    if self._will_expire_by_clock(side_now, now):
                        break
                    raise self._at_max.stop(side_now)
            self._take(side_now, now, out)
        return out

    def _let_expire_by_clock(self, now: int, confirmed: Confirmed | None, out: BatchResult) -> None:
        known = {"labels": now, "events": now} if confirmed is None else confirmed
        if self.merge.absent("labels", now):
            while (waiting := self.join.due_by_clock(known.get("labels", 0))) is not None:
                deadline = max(waiting.time, waiting.predicted_at) + self._wait
                self.expire(waiting, deadline, now, out)
        if self.merge.absent("events", now):
            while (held := self.join.held_due_by_clock(known.get("events", 0))) is not None:
                self.give_up(held, now, out)

    def _will_expire_by_clock(self, side: InputName, now: int) -> bool:
        """Whether room for a record of this side comes when the broker confirms an absence."""
        other: InputName = "labels" if side == "events" else "events"
        return other in self.join.overdue(now) and self.merge.absent(other, now)

    def overdue(self, now: int) -> list[InputName]:
        """The sides whose end has to be confirmed, because something is due by the clock."""
        return self.join.overdue(now)

    def _item(self, side: InputName, record: Record, now: int) -> BufferedRecord[object]:
        content: Event | LabelMessage | DeadLetter | None
        if self.before is not None:
            self.before(side, record.offset)
        try:
            content = self.read(record) if side == "events" else self._read_label(record)
        except DeadLetter as bad:
            content = bad
        mapped = content.time if isinstance(content, Event | LabelMessage) else None
        readable = isinstance(content, Event | LabelMessage)
        return self._turns.item(side, record, content, mapped, now, readable=readable)

    def _read_label(self, record: Record) -> LabelMessage | None:
        if ("labels", record.offset) in self._skips:
            raise self._skips["labels", record.offset]
        if record.headers is UNREADABLE_HEADERS:
            raise DeadLetter("headers", "a header's name is not UTF-8")
        return None if record.value is None else self._label_reader.read(record.value)

    def _let_expire_before(self, item: BufferedRecord[object], now: int, out: BatchResult) -> None:
        """What is due on the stream when this record is taken."""
        if not item.tells_time:
            return
        if self.merge.queues["labels"]:
            while (waiting := self.join.due(item.time)) is not None:
                self.expire(waiting, waiting.time + self._wait, now, out)
        if self.merge.queues["events"]:
            while (held := self.join.held_due(item.time)) is not None:
                self.give_up(held, now, out)

    def _take(self, side: InputName, now: int, out: BatchResult) -> None:
        item = self.merge.queues[side].popleft()
        if side == "labels":
            self.labels_taken = max(self.labels_taken, item.record.offset + 1)
        out.taken += 1
        out.count("consumed", side)
        self.advance(side, item.record.offset, out)
        if isinstance(item.content, DeadLetter):
            if side == "events" or item.record.offset >= self.labels_floor:
                self.reject(side, item.record, item.content, out)
        elif item.content is None:
            out.count("skipped", "tombstone")
        elif isinstance(item.content, Event):
            self._take_event(item, item.content, now, out)
        elif isinstance(item.content, LabelMessage):
            self._take_label(item, item.content, now, out)

    # -- events -------------------------------------------------------------------------------

    def _take_event(
        self, item: BufferedRecord[object], event: Event, now: int, out: BatchResult
    ) -> None:
        offset = item.record.offset
        already = offset in self.predicted_offsets
        self.predicted_offsets.discard(offset)
        waiting = self.predicted_already.pop(offset, None)
        # Who predicted it before may have known less, or more, of its id: then ours counts.
        if waiting is not None and self.join.is_repeat(waiting.id, item.time):
            already = False
        if already:
            out.count("skipped", "replayed")
        else:
            try:
                waiting = self._predict(item, event, now, out)
            except DeadLetter as bad:
                self.reject("events", item.record, bad, out)
                return
        if waiting is None:
            return
        held = self.join.take_held(waiting.id)
        if held is not None and held.time > waiting.time + self._wait:
            self.give_up(held, now, out, "late")
            held = None
        if held is None:
            while self.join.full() and (given_up := self.join.take_first_deadline()) is not None:
                self.expire_early(given_up, item.time, now, out)
            self.join.await_label(waiting)
            return
        # The label was there before: predict first, learn at once.
        self.learn_example(waiting, held.label, item.time, now, held.record, held.time, out)

    def _predict(
        self, item: BufferedRecord[object], event: Event, now: int, out: BatchResult
    ) -> PendingPrediction | None:
        """Predict and publish; returns the prediction if it waits for a label."""
        identity = event.id
        if identity is None:
            raise DeadLetter("id")
        if self.before is not None:
            self.before("events", item.record.offset)
        answer = self.answer(event.features)
        self.latest = event.features
        repeat = self.join.is_repeat(identity, item.time)
        example: dict[str, Any] = {"features": event.features, **answer}
        if self._transformed:
            example["transformed"] = self.transform(event.features)
        encoded = outputs.encode_answer(example)
        out.predictions.append(
            outputs.late_prediction(
                self.source, item.record, identity, encoded, self.learned, item.time, now,
                {"waits": not repeat, "owner": self.owner},
            )
        )  # fmt: skip
        out.count("predicted")
        out.times.append(item.record.timestamp)
        if event.unknown:
            out.count("unknown_fields", amount=event.unknown)
        if repeat:
            out.count("repeated_id")
            return None
        return PendingPrediction(
            identity, item.record.offset, item.time, now, item.record.key, compact(encoded)
        )

    # -- labels -------------------------------------------------------------------------------

    def _take_label(
        self, item: BufferedRecord[object], label: LabelMessage, now: int, out: BatchResult
    ) -> None:
        record = item.record
        if record.offset < self.labels_floor:
            out.count("skipped", "replayed")
            return
        waiting = self.join.take_waiting(label.id)
        if waiting is not None:
            self.learn_example(waiting, label.label, item.time, now, record, item.time, out)
            return
        match self.join.unmatched_as(label.id, item.time):
            case "duplicate":
                out.count("skipped", "duplicate_label")
            case "late":
                self.reject("labels", record, DeadLetter("late"), out)
            case _:
                self.hold(EarlyLabel(label.id, label.label, item.time, now, record), now, out)
