"""The processor of labels that come on a topic of their own, later than the events or earlier.

Predictions and examples are its logs. Weights are the fold of `examples` in the order of their
offsets; pending predictions are the fold of `predictions` minus `examples`; and whatever else
changes the processor (an expiry, an early label, one that is given up) is a record in `examples`
too. So no state lives in memory alone, and no replay depends on a clock.

    events --+                    +-- predictions   (waits: true)
             +-- Merge -- Join ---+-- examples      (learned, expired, held, unmatched, failed)
    labels --+                    +-- dead letters
"""

from collections.abc import Mapping
from typing import Any

from millstream.core.formats.labels import LabelMessage
from millstream.core.join.capacity import CapacityPolicy
from millstream.core.join.join import EarlyLabel, LabelJoin, PendingPrediction
from millstream.core.join.merge import BufferedRecord, EventTimeMerge
from millstream.core.join.pending_store import PendingStore, compact
from millstream.core.join.replay_points import ReplayPoint, ReplayPoints
from millstream.core.processing.config import Confirmed, Ends, ProcessorConfig, Records
from millstream.core.processing.input_reader import InputReader
from millstream.core.processing.partition_model import PartitionModel
from millstream.core.processing.processor import OutputLog, PartitionProcessor
from millstream.core.processing.progress import ReplayedState
from millstream.core.processing.training_log import TrainingLog
from millstream.core.records import outputs
from millstream.core.records.event import Event
from millstream.core.records.record import BatchResult, InputName
from millstream.core.snapshots.snapshot import SnapshotMetadata
from millstream.errors import DeadLetter


class DelayedLabelProcessor(PartitionProcessor):
    """One partition of events and of labels, joined by id."""

    inputs: tuple[InputName, ...] = ("events", "labels")
    output_logs: tuple[OutputLog, ...] = ("predictions", "examples")
    has_deadlines = True

    def __init__(
        self, config: ProcessorConfig, epoch: int = 0, store: PendingStore | None = None
    ) -> None:
        """Create a processor before its first record.

        `store`: the store of pending predictions, with what a replay need not add again (None: an
        empty one in memory).
        """
        labels = config.settings_versions[-1].labels
        if labels.wait is None:
            raise ValueError("labels from a topic have a wait: LabelsSpec sees to it")
        self.model = PartitionModel(config)
        self.join = LabelJoin(labels.wait, store, labels.max_waiting)
        self.training_log = TrainingLog(config, self.model, self.join, epoch)
        self._wait = labels.wait
        self._capacity = CapacityPolicy(labels, config.source.partition)
        self._merge = EventTimeMerge(labels.max_idle)
        self._replay_points = ReplayPoints()
        self._reader = InputReader(config, self.model)
        self.replayed = ReplayedState(epoch, 0, 0, {}, set())
        self._events_floor = 0
        """At or above it, no event has a prediction yet."""

    @property
    def epoch(self) -> int:
        """The owner in whose name it writes."""
        return self.training_log.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.training_log.epoch = epoch

    def committed(self) -> None:
        """Note that all results so far are committed."""
        self.join.store.commit()

    def pending(self) -> int:
        """Return the number of predictions that wait for their label."""
        return len(self.join.store)

    def early_labels(self) -> int:
        """Return the number of labels that wait for their event."""
        return len(self.join.early)

    def backlog(self, input_name: InputName, /) -> int:
        """Return the number of records of an input that were fetched and not yet consumed."""
        return len(self._merge.queues[input_name])

    def overdue(self, now: int, /) -> list[InputName]:
        """Return the inputs whose end must be confirmed before deadlines on the clock pass."""
        return self.join.overdue(now)

    # -- replay and snapshots -----------------------------------------------------------------

    def start_from(self, snapshot: SnapshotMetadata) -> None:
        """Begin a replay at a snapshot, whose learner the configuration has built."""
        self.learned = snapshot.learned
        self._replay_points = ReplayPoints(snapshot.marks)
        oldest = ReplayPoint(*snapshot.marks[0])
        self.join.start_clocks(oldest.stream, oldest.clock)

    def replay_reaches(self, offset: int) -> None:
        """Note that a replay is about to apply the example at this offset."""
        self._replay_points.reached(offset, self.join)

    def load(self, state: ReplayedState) -> None:
        """Complete a replay: all logs have been read."""
        self._replay_points.replayed(self.join)
        self.replayed = state
        self.epoch = state.epoch
        self.training_log.labels_consumed = state.labels_consumed
        self._events_floor = max(state.predicted_offsets, default=-1) + 1

    def mark(self, positions: Mapping[InputName, int], predictions: int, examples: int, /) -> None:
        """Add a replay point: the input positions now, and the ends of its logs a moment ago.

        Not while it repeats what it did before a crash, or before somebody moved the offsets back:
        the logs hold outputs of inputs that are still to come then.
        """
        events, labels, join = positions["events"], positions["labels"], self.join
        if events >= self._events_floor and labels >= self.replayed.labels_floor:
            ends = (predictions, examples)
            point = ReplayPoint(events, labels, *ends, join.completions, *join.latest)
            self._replay_points.add(point)

    def replay_points(self) -> list[ReplayPoint]:
        """Return the replay points that a snapshot needs, oldest first."""
        return self._replay_points.needed(self.join)

    # -- the order of records -----------------------------------------------------------------

    def process(
        self,
        records: Records,
        ends: Ends,
        now: int,
        confirmed: Confirmed | None = None,
        most: int | None = None,
        /,
    ) -> BatchResult:
        """Consume what the merge lets through, and expire what is due before it.

        What expires by the clock expires by `confirmed`, because a worker that was frozen or cut
        off does not know what came meanwhile. See `PartitionProcessor`.
        """
        out = BatchResult()
        for name in self.inputs:
            self._merge.add(
                name, [self._reader.read(name, record, now) for record in records.get(name, ())]
            )
        self._merge.mark_ends(dict(ends))
        while most is None or out.taken < most:
            name_now = self._merge.next_input(now)
            if name_now is None:
                self._expire_by_clock(now, confirmed, out)
                break
            item = self._merge.queues[name_now][0]
            self._expire_before(item, now, out)
            if self._capacity.stops and self._capacity.needs_room(item, self.join):
                self._expire_by_clock(now, confirmed, out)
                if self._capacity.needs_room(item, self.join):
                    if self._will_expire_by_clock(name_now, now):
                        break
                    raise self._capacity.stop(name_now)
            self._consume(name_now, now, out)
        return out

    def _expire_by_clock(self, now: int, confirmed: Confirmed | None, out: BatchResult) -> None:
        known = {"labels": now, "events": now} if confirmed is None else confirmed
        if self._merge.absent("labels", now):
            while (pending := self.join.due_by_clock(known.get("labels", 0))) is not None:
                deadline = max(pending.time, pending.predicted_at) + self._wait
                self.training_log.expire(pending, deadline, now, out)
        if self._merge.absent("events", now):
            while (early := self.join.early_due_by_clock(known.get("events", 0))) is not None:
                self.training_log.give_up(early, now, out)

    def _will_expire_by_clock(self, input_name: InputName, now: int) -> bool:
        """Whether the broker's next confirmation makes room for a record of this input."""
        other: InputName = "labels" if input_name == "events" else "events"
        return other in self.join.overdue(now) and self._merge.absent(other, now)

    def _expire_before(self, item: BufferedRecord[object], now: int, out: BatchResult) -> None:
        """Expire what is due on the stream when this record is consumed."""
        if not item.advances_stream:
            return
        if self._merge.queues["labels"]:
            while (pending := self.join.due(item.time)) is not None:
                self.training_log.expire(pending, pending.time + self._wait, now, out)
        if self._merge.queues["events"]:
            while (early := self.join.early_due(item.time)) is not None:
                self.training_log.give_up(early, now, out)

    def _consume(self, input_name: InputName, now: int, out: BatchResult) -> None:
        item = self._merge.queues[input_name].popleft()
        if input_name == "labels":
            log = self.training_log
            log.labels_consumed = max(log.labels_consumed, item.record.offset + 1)
        out.taken += 1
        out.count("consumed", input_name)
        self.model.advance(input_name, item.record.offset, out)
        if isinstance(item.content, DeadLetter):
            if input_name == "events" or item.record.offset >= self.replayed.labels_floor:
                self.model.reject(input_name, item.record, item.content, out)
        elif item.content is None:
            out.count("skipped", "tombstone")
        elif isinstance(item.content, Event):
            self._consume_event(item, item.content, now, out)
        elif isinstance(item.content, LabelMessage):
            self._consume_label(item, item.content, now, out)

    # -- events -------------------------------------------------------------------------------

    def _consume_event(
        self, item: BufferedRecord[object], event: Event, now: int, out: BatchResult
    ) -> None:
        offset, join, log = item.record.offset, self.join, self.training_log
        already = offset in self.replayed.predicted_offsets
        self.replayed.predicted_offsets.discard(offset)
        pending = self.replayed.predicted.pop(offset, None)
        # Whoever predicted it before may have known less, or more, of its id: then ours counts.
        if pending is not None and join.is_repeat(pending.id, item.time):
            already = False
        if already:
            out.count("skipped", "replayed")
        else:
            try:
                pending = self._predict(item, event, now, out)
            except DeadLetter as bad:
                self.model.reject("events", item.record, bad, out)
                return
        if pending is None:
            return
        early = join.take_early(pending.id)
        if early is not None and early.time > pending.time + self._wait:
            log.give_up(early, now, out, "late")
            early = None
        if early is None:
            while join.full() and (first := join.take_first_deadline()) is not None:
                log.expire_early(first, item.time, now, out)
            join.add_pending(pending)
            return
        # The label was there before: predict first, learn at once.
        log.learn_example(pending, early.label, item.time, now, early.record, early.time, out)

    def _predict(
        self, item: BufferedRecord[object], event: Event, now: int, out: BatchResult
    ) -> PendingPrediction | None:
        """Predict and publish; returns the prediction if it waits for a label."""
        identity, model = event.id, self.model
        if identity is None:
            raise DeadLetter("id")
        if model.before is not None:
            model.before("events", item.record.offset)
        answer = model.answer(event.features)
        model.latest = event.features
        repeat = self.join.is_repeat(identity, item.time)
        example: dict[str, Any] = {"features": event.features, **answer}
        if self.training_log.transformed:
            example["transformed"] = model.transform(event.features)
        encoded = outputs.encode_answer(example)
        out.predictions.append(
            outputs.late_prediction(
                model.source, item.record, identity, encoded, model.learned, item.time, now,
                {"waits": not repeat, "owner": self.training_log.epoch},
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

    def _consume_label(
        self, item: BufferedRecord[object], label: LabelMessage, now: int, out: BatchResult
    ) -> None:
        record, log = item.record, self.training_log
        if record.offset < self.replayed.labels_floor:
            out.count("skipped", "replayed")
            return
        pending = self.join.take_pending(label.id)
        if pending is not None:
            log.learn_example(pending, label.label, item.time, now, record, item.time, out)
            return
        match self.join.unmatched_as(label.id, item.time):
            case "duplicate":
                out.count("skipped", "duplicate_label")
            case "late":
                self.model.reject("labels", record, DeadLetter("late"), out)
            case _:
                log.keep_early(EarlyLabel(label.id, label.label, item.time, now, record), now, out)
