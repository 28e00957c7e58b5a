"""The training log: what becomes of predictions that wait and of labels that are held.

A prediction ends as a learned, failed or expired example, a label that came before its event as one
that is held and then, perhaps, unmatched. Each is a record of its own, so that the state of a shard
is the fold of what it wrote.
"""

from typing import Any

import orjson

from millstream.core.formats.labels import assumed_label
from millstream.core.join.join import EarlyLabel, LabelJoin, PendingPrediction
from millstream.core.join.pending_store import PendingStore
from millstream.core.models.interface.learner import Label
from millstream.core.processing.partition_processor import PartitionProcessor, ProcessorConfig
from millstream.core.records import outputs
from millstream.core.records.model_errors import raised
from millstream.core.records.record import BatchResult, Output, Record
from millstream.errors import DeadLetter, StateInvalid


class TrainingLog(PartitionProcessor):
    """Learns from examples, in the order that `DelayedLabelProcessor` decides."""

    def __init__(self, plan: ProcessorConfig, owner: int, store: PendingStore | None) -> None:
        """See `DelayedLabelProcessor`."""
        super().__init__(plan)
        labels = plan.settings_versions[-1].labels
        if labels.wait is None:
            raise ValueError("labels from a topic have a wait: LabelsSpec sees to it")
        self.join = LabelJoin(labels.wait, store, labels.max_waiting)
        self.owner = owner
        self.labels_taken = 0
        """Offset after the last label that was ever taken."""
        self._wait = labels.wait
        # What a label that came would be turned into; `assumed_label` refuses what cannot be.
        self._assumed = assumed_label(labels, self.learner, plan.model.classes)
        self._transformed = labels.learn_from == "transformed"

    # -- labels that are held -----------------------------------------------------------------

    def hold(self, held: EarlyLabel, now: int, out: BatchResult) -> None:
        """Let a label that came before its event wait for it."""
        message = outputs.pack_message(held.record)
        size = len(outputs.encode(message)) + outputs.size_besides_value(held.record.key, None)
        if size + outputs.EXAMPLE_ROOM > self.source.max_bytes:
            self.reject("labels", held.record, DeadLetter("too_large", "to be held"), out)
            return
        while self.join.held_full() and (first := self.join.take_first_held_deadline()) is not None:
            self.give_up(first, now, out, early=held.time)
        self.join.hold(held)
        out.count("held")
        self._write(out, held.record.key, {
            "kind": "held", "id": held.id, "label": held.label,
            "label_source": {"offset": held.record.offset, "time": held.time},
            "message": message, "time": held.time, "written_at": now,
        })  # fmt: skip

    def give_up(
        self, held: EarlyLabel, now: int, out: BatchResult, why: str = "unmatched",
        early: int | None = None,
    ) -> None:  # fmt: skip
        """A label whose event did not come, or came with a deadline before it.

        `early`: when on the stream, where it has to make room before its time.
        """
        self.reject("labels", held.record, DeadLetter(why), out)
        self._write(out, held.record.key, {
            "kind": "unmatched", "id": held.id, "label": held.label,
            "label_source": {"offset": held.record.offset, "time": held.time},
            "time": held.time + self._wait, "written_at": now,
            **({} if early is None else {"early": True, "time": early}),
        })  # fmt: skip

    # -- predictions that wait ----------------------------------------------------------------

    def expire(self, waiting: PendingPrediction, deadline: int, now: int, out: BatchResult) -> None:
        """A prediction whose label did not come in time."""
        label = self._assumed
        kind = "expired"
        if label is not None and self._try_to_learn(waiting, label) is None:
            kind, label = "failed", None
        out.count("expired", "drop" if self._assumed is None else "assume")
        if label is not None:
            out.count("learned")
        self.join.resolve(waiting.id, deadline, now, expired=True)
        self._write(out, waiting.key, {
            **self._example(kind, waiting, label), "time": deadline, "written_at": now,
        }, waiting.example)  # fmt: skip

    def expire_early(
        self, waiting: PendingPrediction, time: int, now: int, out: BatchResult
    ) -> None:
        """A prediction that makes room for another one.

        Its label may still come, so nothing is assumed of it.
        """
        out.count("expired", "early")
        self.join.resolve(waiting.id, time, now, expired=True)
        self._write(out, waiting.key, {
            **self._example("expired", waiting, None), "early": True, "time": time,
            "written_at": now,
        }, waiting.example)  # fmt: skip

    def learn_example(
        self, waiting: PendingPrediction, label: Label, time: int, now: int,
        label_record: Record, label_time: int, out: BatchResult,
    ) -> None:  # fmt: skip
        """Learn from a prediction and its label, and write the example."""
        kind, example = "learned", self._try_to_learn(waiting, label)
        if example is not None:
            out.learned(example.get("prediction"), label, label_time - waiting.time)
        else:
            kind = "failed"
            bad = self._skips["examples", waiting.offset]
            self.reject("labels", label_record, bad, out)
        self.join.resolve(waiting.id, time, now, expired=False)
        self._write(out, waiting.key, {
            **self._example(kind, waiting, label),
            "label_source": {"offset": label_record.offset, "time": label_time},
            "time": time, "written_at": now,
        }, waiting.example)  # fmt: skip

    def _example(
        self, kind: str, waiting: PendingPrediction, label: Label | None
    ) -> dict[str, Any]:
        return {
            "kind": kind, "id": waiting.id, "label": label, "learned": self.learned,
            "event": {"offset": waiting.offset, "time": waiting.time},
        }  # fmt: skip

    def _try_to_learn(self, waiting: PendingPrediction, label: Label) -> dict[str, Any] | None:
        """Learn, and return what was learned from; None where the model is known to break on it."""
        if ("examples", waiting.offset) in self._skips:
            return None
        if self.before is not None:
            self.before("examples", waiting.offset)
        example: dict[str, Any] = orjson.loads(waiting.example)
        try:
            self.learn(example, label)
        except Exception as error:
            bad = raised("learn_error", error, example["features"])
            raise StateInvalid("examples", waiting.offset, bad) from error
        return example

    def learn(self, example: dict[str, Any], label: Label) -> None:
        """One step of the fold over examples; raises what the model raises."""
        if self._transformed:
            self.learner.learn_transformed(example["features"], example["transformed"], label)
        else:
            self.learner.learn(example["features"], label)
        self.learned += 1

    def _write(
        self,
        out: BatchResult,
        key: bytes | None,
        example: dict[str, Any],
        rest: bytes | None = None,
    ) -> None:
        """Write an example; `rest`: JSON of what it has besides."""
        example["owner"] = self.owner
        # A label that is skipped leaves no record of its own, and what comes after may make another
        # thing of it, if it came again.
        example["labels_taken"] = self.labels_taken
        value = outputs.encode(example)
        out.examples.append(Output(key, value if rest is None else outputs.join(value, rest), None))
