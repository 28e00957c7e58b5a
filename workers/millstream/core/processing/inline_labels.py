r"""The processor of events that carry their labels, or have none.

Every record of events becomes exactly one of: a prediction, a dead letter, a counted skip.

    bytes --EventReader--> Event --Learner.predict--> answer --outputs.prediction--> bytes
                                \--Learner.learn (labels inside the event, or unsupervised)
"""

from collections import deque
from collections.abc import Mapping, Sequence

from millstream.core.formats.events import EventReader
from millstream.core.join.replay_points import ReplayPoint
from millstream.core.models.interface.answers import all_are_finite, answer_is_finite
from millstream.core.models.interface.learner import Answer, Features
from millstream.core.processing.config import Confirmed, Ends, ProcessorConfig, Records
from millstream.core.processing.partition_model import PartitionModel, predict_error
from millstream.core.processing.processor import OutputLog, PartitionProcessor
from millstream.core.records import outputs
from millstream.core.records.event import Event
from millstream.core.records.model_errors import raised
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.errors import DeadLetter, StateInvalid


class InlineLabelProcessor(PartitionProcessor):
    """One partition whose model learns from the events themselves, or not at all."""

    inputs: tuple[InputName, ...] = ("events",)
    output_logs: tuple[OutputLog, ...] = ()
    has_deadlines = False
    epoch = 0

    def __init__(self, config: ProcessorConfig) -> None:
        """Create a processor before its first record."""
        self.model = PartitionModel(config)
        self._following = deque(
            (version.start, self.model.reader_of(version))
            for version in config.settings_versions[1:]
        )

    # -- the interface of a processor ---------------------------------------------------------

    def process(
        self,
        records: Records,
        _ends: Ends,
        now: int,
        _confirmed: Confirmed | None = None,
        _most: int | None = None,
        /,
    ) -> BatchResult:
        """Process a batch; see `PartitionProcessor`."""
        out, model = BatchResult(), self.model
        batch = records["events"]
        if not batch:
            return out
        if model.before is not None:
            model.before("events", batch[0].offset)
        out.taken += len(batch)
        out.count("consumed", "events", amount=len(batch))
        model.advance("events", batch[-1].offset, out)
        work = self._work_batched if model.learner.traits.batched else self._work_one_by_one
        for reader, part in self._split_by_settings(batch):
            model.reader = reader
            work(part, now, out)
        return out

    def backlog(self, _input_name: InputName, /) -> int:
        """Return 0: all that is fetched is consumed at once."""
        return 0

    def overdue(self, _now: int, /) -> list[InputName]:
        """Return no input: nothing has a deadline."""
        return []

    def committed(self) -> None:
        """Do nothing: no state depends on a commit."""

    def pending(self) -> int:
        """Return 0: no prediction waits."""
        return 0

    def early_labels(self) -> int:
        """Return 0: no label waits."""
        return 0

    def mark(
        self, _positions: Mapping[InputName, int], _predictions: int, _examples: int, /
    ) -> None:
        """Do nothing: a restore reads none of its logs."""

    def replay_points(self) -> list[ReplayPoint]:
        """Return none: a restore reads none of its logs."""
        return []

    # -- the path of an event -----------------------------------------------------------------

    def _work_one_by_one(self, batch: Sequence[Record], now: int, out: BatchResult) -> None:
        model, learner = self.model, self.model.learner
        traits, learns = learner.traits, learner.traits.learns
        predictions, times, scored = out.predictions, out.times, out.scored
        learned_before, predicted_before = model.learned, len(predictions)
        # One function for the whole path of an event, because this is what the worker spends its
        # time on, and a call costs as much as a feature.
        source, read, predict, learn = model.source, model.read, learner.predict, learner.learn
        fast_path = model.fast_path()
        supervised, finite, write = traits.supervised, traits.finite, outputs.prediction
        event = None
        for record in batch:
            try:
                event = fast_path(record.value) if fast_path and record.headers is None else None
                if event is None and (event := read(record)) is None:
                    out.count("skipped", "tombstone")
                    continue
                try:
                    answer = predict(event.features)
                except Exception as error:
                    raise predict_error(error, event.features) from error
                if not (finite or answer_is_finite(answer)):
                    raise DeadLetter("not_finite")  # noqa: TRY301 - a call less, see above
                time = record.timestamp if event.time is None else event.time
                if not 0 <= time <= now:
                    time = now
                predictions.append(write(source, record, event, answer, model.learned, time, now))
            except DeadLetter as bad:
                model.reject("events", record, bad, out)
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
            model.learned += 1
            scored.append((answer.get("prediction"), event.label))
        if event is not None:
            model.latest = event.features
        _count_if(out, "predicted", len(predictions) - predicted_before)
        _count_if(out, "learned", model.learned - learned_before)

    def _note_if_too_large(self, record: Record, bad: DeadLetter, out: BatchResult) -> None:
        """Note a skip: the limit of messages may change, and a replay must leave this one out."""
        known = ("events", record.offset) in self.model.skips
        if bad.reason == "too_large" and self.model.learner.traits.learns and not known:
            out.notes.append(outputs.skip_note(self.model.source.partition, record.offset, bad))

    def _work_batched(self, batch: Sequence[Record], now: int, out: BatchResult) -> None:
        """Predict all good events of a batch in one vectorised call of the model."""
        records: list[Record] = []
        events: list[Event] = []
        model, fast_path = self.model, self.model.fast_path()
        read = model.read
        for record in batch:
            try:
                event = fast_path(record.value) if fast_path and record.headers is None else None
                if event is None:
                    event = read(record)
            except DeadLetter as bad:
                model.reject("events", record, bad, out)
                continue
            if event is None:
                out.count("skipped", "tombstone")
            else:
                records.append(record)
                events.append(event)
        answers = self._answers([event.features for event in events])
        source, learned, write = model.source, model.learned, outputs.prediction
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
                model.reject("events", record, bad, out)
                continue
            times.append(record.timestamp)
            if event.unknown:
                out.count("unknown_fields", amount=event.unknown)
        _count_if(out, "predicted", len(predictions) - before)

    def _answers(self, rows: list[Features]) -> list[Answer | DeadLetter]:
        """Return `answer` of many rows; if the vectorised call raises, of each row by itself."""
        if not rows:
            return []
        try:
            answers = self.model.learner.predict_many(rows)
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
            return self.model.answer(row)
        except DeadLetter as bad:
            return bad

    def _split_by_settings(
        self, batch: Sequence[Record]
    ) -> list[tuple[EventReader, Sequence[Record]]]:
        """Cut a batch where the settings changed."""
        parts: list[tuple[EventReader, Sequence[Record]]] = []
        reader = self.model.reader
        while self._following and self._following[0][0] <= batch[-1].offset:
            start, following = self._following.popleft()
            cut = next(i for i, record in enumerate(batch) if record.offset >= start)
            if cut:
                parts.append((reader, batch[:cut]))
            reader, batch = following, batch[cut:]
        parts.append((reader, batch))
        return parts


def _count_if(out: BatchResult, name: str, amount: int) -> None:
    if amount:
        out.count(name, amount=amount)
