r"""The whole path of a batch for one partition: read, predict, write, learn.

Every record of events comes to exactly one of: a prediction, a dead letter, a counted skip.

    bytes --EventReader--> Event --Learner.predict--> answer --outputs.prediction--> bytes
                                \--Learner.learn (labels inside the event, or unsupervised)

A shard is a fold over its logs and does nothing by itself: records go in, an `BatchResult` comes
out,
a runner performs it in one transaction. When that fails, the shard is thrown away and restored;
nothing here can be undone. `late.DelayedLabelProcessor` adds labels that come on a topic of their
own.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.core.formats.codec import Codecs, no_codecs
from millstream.core.formats.events import EventReader
from millstream.core.models.interface.answers import all_are_finite, answer_is_finite
from millstream.core.models.interface.learner import Answer, Features, Learner
from millstream.core.records import outputs
from millstream.core.records.event import Event
from millstream.core.records.model_errors import raised
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import (
    UNREADABLE_HEADERS,
    BatchResult,
    InputName,
    Output,
    Record,
)
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import DeadLetter, StateInvalid

Records = Mapping[InputName, Sequence[Record]]
Ends = Mapping[InputName, bool]
Confirmed = Mapping[InputName, int]


@dataclass(frozen=True, slots=True)
class SettingsVersion:
    """From offset `start` of events on, records are read under these settings."""

    start: int
    events: EventsSpec
    labels: LabelsSpec


@dataclass(frozen=True, slots=True)
class ProcessorConfig:
    """What a shard is built from, besides its logs."""

    source: PartitionSource
    model: ModelSpec
    build_learner: Callable[[], Learner]
    settings_versions: tuple[SettingsVersion, ...]
    """In the order of their starts; the last one is that of today's settings."""
    skips: Mapping[tuple[str, int], DeadLetter]
    """What is not learned from though its bytes would not say so: `("events", offset)` is left
    out altogether, so is `("labels", offset)`; `("examples", source offset of the event)` is
    predicted but never learned."""
    codecs: Codecs = no_codecs
    """What the settings of any era name as `codec`."""


class PartitionProcessor:
    """One partition whose model learns from the events themselves, or not at all."""

    sides: tuple[InputName, ...] = ("events",)
    """The inputs that it takes, in the order of their offsets each."""

    def __init__(self, plan: ProcessorConfig) -> None:
        """A shard before its first record."""
        self.source = plan.source
        self.learner = plan.build_learner()
        self.learned = 0
        self.latest: Features | None = None
        """Features of the latest event predicted on: what a snapshot proves itself by."""
        self.before: Callable[[str, int], None] | None = None
        """Called with what is about to be worked on, in the terms of `ProcessorConfig.skips` and
        `labels`: the
        first event of a batch, or (late labels) each record and example. None: nobody asks."""
        self._skips = plan.skips
        self._notes: list[Output] = []
        self._readers = deque(
            (
                era.start,
                EventReader(era.events, era.labels, self.learner, plan.model.classes, plan.codecs),
            )
            for era in plan.settings_versions
        )
        self._reader = self._readers.popleft()[1]

    # -- what a runner calls ------------------------------------------------------------------

    def process(
        self,
        records: Records,
        ends: Ends,  # noqa: ARG002 - what follows matters to LateShard alone
        now: int,
        confirmed: Confirmed | None = None,  # noqa: ARG002 - the same
        most: int | None = None,  # noqa: ARG002 - the same
    ) -> BatchResult:
        """Work off a batch.

        `records` in the order of their offsets, `ends` which sides have no more to fetch, `now`
        the worker's clock in ms. Raises `StateInvalid` where a model broke in the middle of
        learning.
        """
        out = BatchResult()
        batch = records["events"]
        if not batch:
            return out
        if self.before is not None:
            self.before("events", batch[0].offset)
        self._account("events", batch, out)
        for reader, part in self._by_era(batch):
            self._reader = reader
            work = self._work_batched if self.learner.traits.batched else self._work_one_by_one
            work(part, now, out)
        return out

    def announce(self, notes: Sequence[Output]) -> None:
        """Write these with the first outcome: what a later replay needs to know."""
        self._notes.extend(notes)

    def committed(self) -> None:
        """All outcomes so far are committed."""

    def waiting(self) -> int:
        """How many predictions wait for their label."""
        return 0

    def held(self) -> int:
        """How many early labels wait for their event."""
        return 0

    def backlog(self, side: InputName) -> int:  # noqa: ARG002 - LateShard queues
        """How many fetched records of a side are not yet taken."""
        return 0

    # -- the path of an event -----------------------------------------------------------------

    def _work_one_by_one(self, batch: Sequence[Record], now: int, out: BatchResult) -> None:
        learner, traits, learns = self.learner, self.learner.traits, self.learner.traits.learns
        predictions, times, scored = out.predictions, out.times, out.scored
        learned_before, predicted_before = self.learned, len(predictions)
        # One function for the whole path of an event, because this is what the worker spends its
        # time on, and a call costs as much as a feature.
        source, read, predict, learn = self.source, self.read, learner.predict, learner.learn
        usual = self._usual()
        supervised, finite, write = traits.supervised, traits.finite, outputs.prediction
        event = None
        for record in batch:
            try:
                event = usual(record.value) if usual and record.headers is None else None
                if event is None and (event := read(record)) is None:
                    out.count("skipped", "tombstone")
                    continue
                try:
                    answer = predict(event.features)
                except Exception as error:
                    raise _why_not(error, event.features) from error
                if not (finite or answer_is_finite(answer)):
                    raise DeadLetter("not_finite")  # noqa: TRY301 - a call less, see above
                time = record.timestamp if event.time is None else event.time
                if not 0 <= time <= now:
                    time = now
                predictions.append(write(source, record, event, answer, self.learned, time, now))
            except DeadLetter as bad:
                self.reject("events", record, bad, out)
                self._note_if_too_large(record, bad, out)
                continue
            times.append(record.timestamp)
            if event.unknown:
                out.count("unknown_fields", amount=event.unknown)
            if not learns:
                continue
            if supervised and event.label is None:
                out.count("unlabelled")
                continue
            try:
                learn(event.features, event.label)
            except Exception as error:
                skip = raised("learn_error", error, event.features)
                raise StateInvalid("events", record.offset, skip) from error
            self.learned += 1
            scored.append((answer.get("prediction"), event.label))
        if event is not None:
            self.latest = event.features
        _count_if(out, "predicted", len(predictions) - predicted_before)
        _count_if(out, "learned", self.learned - learned_before)

    def _note_if_too_large(self, record: Record, bad: DeadLetter, out: BatchResult) -> None:
        """What a message may hold can change: a replay has to know that this one was left out."""
        known = ("events", record.offset) in self._skips
        if bad.reason == "too_large" and self.learner.traits.learns and not known:
            out.notes.append(outputs.skip_note(self.source.partition, record.offset, bad))

    def _work_batched(self, batch: Sequence[Record], now: int, out: BatchResult) -> None:
        """One vectorised call of the model for all the good events of a batch."""
        records: list[Record] = []
        events: list[Event] = []
        read, usual = self.read, self._usual()
        for record in batch:
            try:
                event = usual(record.value) if usual and record.headers is None else None
                if event is None:
                    event = read(record)
            except DeadLetter as bad:
                self.reject("events", record, bad, out)
                continue
            if event is None:
                out.count("skipped", "tombstone")
            else:
                records.append(record)
                events.append(event)
        answers = self._answers([event.features for event in events])
        source, learned, write = self.source, self.learned, outputs.prediction
        predictions, times = out.predictions, out.times
        before = len(predictions)
        # As in `_work_one_by_one`, no call that could be saved.
        for record, event, answer in zip(records, events, answers, strict=True):
            time = record.timestamp if event.time is None else event.time
            if not 0 <= time <= now:
                time = now
            try:
                if isinstance(answer, DeadLetter):
                    raise answer
                predictions.append(write(source, record, event, answer, learned, time, now))
            except DeadLetter as bad:
                self.reject("events", record, bad, out)
                continue
            times.append(record.timestamp)
            if event.unknown:
                out.count("unknown_fields", amount=event.unknown)
        _count_if(out, "predicted", len(predictions) - before)

    def _usual(self) -> Callable[[bytes | None], Event | None] | None:
        """The shortcut for events that no headers and no skips make unusual; see `usual`."""
        return None if self._skips else self._reader.usual

    def read(self, record: Record) -> Event | None:
        """The event in a record, None for a tombstone; raises `DeadLetter`."""
        if self._skips and ("events", record.offset) in self._skips:
            raise self._skips["events", record.offset]
        if record.headers is UNREADABLE_HEADERS:
            raise DeadLetter("headers", "a header's name is not UTF-8")
        if record.value is None:
            return None
        return self._reader.read(record.value)

    def answer(self, features: Features) -> Answer:
        """What the model says of an event; raises `DeadLetter`."""
        try:
            answer = self.learner.predict(features)
        except Exception as error:
            raise _why_not(error, features) from error
        if not answer_is_finite(answer):
            raise DeadLetter("not_finite")
        return answer

    def transform(self, features: Features) -> dict[str, Any]:
        """What the last step of the model sees of an event; raises `DeadLetter`."""
        try:
            return self.learner.transform(features)
        except Exception as error:
            raise raised("predict_error", error, features) from error

    def _answers(self, rows: list[Features]) -> list[Answer | DeadLetter]:
        """`answer` for many rows; where the vectorised call raises, each row by itself."""
        if not rows:
            return []
        try:
            answers = self.learner.predict_many(rows)
        except Exception:  # noqa: BLE001 - found out below, row by row, and dead-lettered
            return [self._answer_or_dead_letter(row) for row in rows]
        if len(answers) != len(rows):  # whose answer is whose?
            sentence = f"predict_many gave {len(answers)} answers for {len(rows)} events"
            return [DeadLetter("predict_error", sentence)] * len(rows)
        if all_are_finite(answers):
            return list(answers)
        return [a if answer_is_finite(a) else DeadLetter("not_finite") for a in answers]

    def _answer_or_dead_letter(self, row: Features) -> Answer | DeadLetter:
        try:
            return self.answer(row)
        except DeadLetter as bad:
            return bad

    # -- shared with LateShard ----------------------------------------------------------------

    def reject(self, side: InputName, record: Record, bad: DeadLetter, out: BatchResult) -> None:
        """Send a record to the dead letters."""
        topic = self.source.events if side == "events" else self.source.labels
        out.dead_letters.append(outputs.dead_letter(self.source, topic or "", record, bad))
        out.count("dead_lettered", outputs.stage_of(bad), bad.reason)

    def _account(self, side: InputName, batch: Sequence[Record], out: BatchResult) -> None:
        """Say that an outcome accounts for these records, and write what is due with it."""
        out.taken += len(batch)
        out.count("consumed", side, amount=len(batch))
        self.advance(side, batch[-1].offset, out)

    def advance(self, side: InputName, offset: int, out: BatchResult) -> None:
        """Say that an outcome accounts for a side up to an offset; notes go with the first one."""
        out.positions[side] = offset + 1
        if self._notes:
            out.notes.extend(self._notes)
            self._notes.clear()

    def _by_era(self, batch: Sequence[Record]) -> list[tuple[EventReader, Sequence[Record]]]:
        """Cut a batch where the settings changed."""
        parts: list[tuple[EventReader, Sequence[Record]]] = []
        reader = self._reader
        while self._readers and self._readers[0][0] <= batch[-1].offset:
            start, following = self._readers.popleft()
            cut = next(i for i, record in enumerate(batch) if record.offset >= start)
            if cut:
                parts.append((reader, batch[:cut]))
            reader, batch = following, batch[cut:]
        parts.append((reader, batch))
        return parts


def _why_not(error: Exception, features: Features) -> DeadLetter:
    """Why there is no prediction, of what a learner raised."""
    return error if isinstance(error, DeadLetter) else raised("predict_error", error, features)


def _count_if(out: BatchResult, name: str, amount: int) -> None:
    if amount:
        out.count(name, amount=amount)
