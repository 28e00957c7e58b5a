"""Writes the examples: what became of pending predictions and of early labels.

A prediction ends as a learned, failed or expired example. A label that came before its event is
written as held, and then perhaps as unmatched. Each is a record of its own, so that the state of a
processor is the replay of what it wrote.
"""

from typing import Any

import orjson

from millstream.core.formats.labels import assumed_label
from millstream.core.join.join import EarlyLabel, LabelJoin, PendingPrediction
from millstream.core.models.interface.learner import Label
from millstream.core.processing.config import ProcessorConfig
from millstream.core.processing.partition_model import PartitionModel
from millstream.core.records import outputs
from millstream.core.records.model_errors import raised
from millstream.core.records.record import BatchResult, Output, Record
from millstream.errors import DeadLetter, StateInvalid


class TrainingLog:
    """Learns examples, in the order that `DelayedLabelProcessor` decides, and writes each."""

    def __init__(
        self, config: ProcessorConfig, model: PartitionModel, join: LabelJoin, epoch: int
    ) -> None:
        """`epoch`: the owner in whose name records are written."""
        labels = config.settings_versions[-1].labels
        self.epoch = epoch
        self.labels_consumed = 0
        """Offset after the last label that was ever consumed."""
        self.transformed = labels.learn_from == "transformed"
        """Whether the model learns the features as they were transformed for the prediction."""
        self._model = model
        self._join = join
        # What a label that came would be turned into; `assumed_label` refuses what cannot be.
        self._assumed = assumed_label(labels, model.learner, config.model.classes)

    # -- early labels -------------------------------------------------------------------------

    def keep_early(self, early: EarlyLabel, now: int, out: BatchResult) -> None:
        """Let a label that came before its event wait for it."""
        message = outputs.pack_message(early.record)
        size = len(outputs.encode(message)) + outputs.size_besides_value(early.record.key, None)
        if size + outputs.EXAMPLE_ROOM > self._model.source.max_bytes:
            self._model.reject("labels", early.record, DeadLetter("too_large", "to be held"), out)
            return
        join = self._join
        while join.early_full() and (first := join.take_first_early_deadline()) is not None:
            self.give_up(first, now, out, room_at=early.time)
        join.add_early(early)
        out.count("held")
        self._write(out, early.record.key, {
            "kind": "held", "id": early.id, "label": early.label,
            "label_source": {"offset": early.record.offset, "time": early.time},
            "message": message, "time": early.time, "written_at": now,
        })  # fmt: skip

    def give_up(
        self, early: EarlyLabel, now: int, out: BatchResult, reason: str = "unmatched",
        room_at: int | None = None,
    ) -> None:  # fmt: skip
        """Reject a label whose event did not come, or came after its deadline.

        `room_at`: stream time in ms, if the label makes room for another one before its deadline.
        """
        self._model.reject("labels", early.record, DeadLetter(reason), out)
        self._write(out, early.record.key, {
            "kind": "unmatched", "id": early.id, "label": early.label,
            "label_source": {"offset": early.record.offset, "time": early.time},
            "time": early.time + self._join.wait, "written_at": now,
            **({} if room_at is None else {"early": True, "time": room_at}),
        })  # fmt: skip

    # -- pending predictions ------------------------------------------------------------------

    def expire(self, pending: PendingPrediction, deadline: int, now: int, out: BatchResult) -> None:
        """End a prediction whose label did not come in time."""
        label = self._assumed
        kind = "expired"
        if label is not None and self._try_to_learn(pending, label) is None:
            kind, label = "failed", None
        out.count("expired", "drop" if self._assumed is None else "assume")
        if label is not None:
            out.count("learned")
        self._join.complete(pending.id, deadline, now, expired=True)
        self._write(out, pending.key, {
            **self._example(kind, pending, label), "time": deadline, "written_at": now,
        }, pending.example)  # fmt: skip

    def expire_early(
        self, pending: PendingPrediction, time: int, now: int, out: BatchResult
    ) -> None:
        """End a prediction before its deadline, to make room for another one.

        Its label may still come, so no label is assumed.
        """
        out.count("expired", "early")
        self._join.complete(pending.id, time, now, expired=True)
        self._write(out, pending.key, {
            **self._example("expired", pending, None), "early": True, "time": time,
            "written_at": now,
        }, pending.example)  # fmt: skip

    def learn_example(
        self, pending: PendingPrediction, label: Label, time: int, now: int,
        label_record: Record, label_time: int, out: BatchResult,
    ) -> None:  # fmt: skip
        """Learn a prediction with its label and write the example.

        `time`: stream time of the record that completed the pair; `now`: the worker's clock;
        `label_time`: message time of the label (all ms). Raises `StateInvalid` if the model fails.
        """
        kind, example = "learned", self._try_to_learn(pending, label)
        if example is not None:
            out.learned(example.get("prediction"), label, label_time - pending.time)
        else:
            kind = "failed"
            bad = self._model.skips["examples", pending.offset]
            self._model.reject("labels", label_record, bad, out)
        self._join.complete(pending.id, time, now, expired=False)
        self._write(out, pending.key, {
            **self._example(kind, pending, label),
            "label_source": {"offset": label_record.offset, "time": label_time},
            "time": time, "written_at": now,
        }, pending.example)  # fmt: skip

    def _example(
        self, kind: str, pending: PendingPrediction, label: Label | None
    ) -> dict[str, Any]:
        return {
            "kind": kind, "id": pending.id, "label": label, "learned": self._model.learned,
            "event": {"offset": pending.offset, "time": pending.time},
        }  # fmt: skip

    def _try_to_learn(self, pending: PendingPrediction, label: Label) -> dict[str, Any] | None:
        """Learn, and return what was learned; None if the model is known to fail on it."""
        model = self._model
        if ("examples", pending.offset) in model.skips:
            return None
        if model.before is not None:
            model.before("examples", pending.offset)
        example: dict[str, Any] = orjson.loads(pending.example)
        try:
            self.learn(example, label)
        except Exception as error:
            bad = raised("learn_error", error, example["features"])
            raise StateInvalid("examples", pending.offset, bad) from error
        return example

    def learn(self, example: dict[str, Any], label: Label) -> None:
        """Learn one example without writing it; raises what the model raises."""
        learner = self._model.learner
        if self.transformed:
            learner.learn_transformed(example["features"], example["transformed"], label)
        else:
            learner.learn(example["features"], label)
        self._model.learned += 1

    def _write(
        self,
        out: BatchResult,
        key: bytes | None,
        example: dict[str, Any],
        others: bytes | None = None,
    ) -> None:
        """Write an example; `others`: JSON of its further fields."""
        example["owner"] = self.epoch
        # A skipped label leaves no record of its own, and after later records the same label could
        # have another effect if it came again.
        example["labels_taken"] = self.labels_consumed
        value = outputs.encode(example)
        out.examples.append(
            Output(key, value if others is None else outputs.join(value, others), None)
        )
