"""The four stages of an event's path for a whole batch: the worker's own, and bare ones."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import orjson

from benchmarks.workloads import Workload
from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.records.outputs import PartitionSource, prediction
from millstream.core.records.record import Record

NOW = 1_700_000_000_000
Batch = Sequence[Record]
_BARE_MODEL = {"name": "core", "version": "0123456789ab", "learned": 0}


class Steps(Protocol):
    """What is timed. Events and answers are whatever the steps hand to each other."""

    def read(self, batch: Batch) -> list[Any]:
        """From bytes to events."""

    def predict(self, events: list[Any]) -> list[Any]:
        """From events to answers."""

    def encode(self, batch: Batch, events: list[Any], answers: list[Any]) -> list[Any]:
        """From answers to bytes."""

    def learn(self, batch: Batch, events: list[Any]) -> None:
        """Learn from each event; nothing for a model that does not."""


def timed(steps: Steps, records: Batch, size: int) -> dict[str, float]:
    """Stage to seconds for all records, in batches of `size`.

    Stages run one after the other over a batch, so the clock is read four times a batch. (The
    shard learns after each prediction; that costs the same, and could not be told apart.)
    """
    seconds = dict.fromkeys(("read", "predict", "encode", "learn"), 0.0)
    for first in range(0, len(records), size):
        batch = records[first : first + size]
        marks = [time.perf_counter()]
        events = steps.read(batch)
        marks.append(time.perf_counter())
        answers = steps.predict(events)
        marks.append(time.perf_counter())
        steps.encode(batch, events, answers)
        marks.append(time.perf_counter())
        steps.learn(batch, events)
        marks.append(time.perf_counter())
        for stage, began, ended in zip(seconds, marks, marks[1:], strict=False):
            seconds[stage] += ended - began
    return seconds


def settings_of(workload: Workload) -> Settings:
    """Settings of an app that works on this workload."""
    label = {"label": "label"} if workload.labelled else {}
    events = {"topic": "events", "id": "id", **label, **workload.settings["events"]}
    kafka = {"bootstrap.servers": "none:9092"}
    return Settings.model_validate(
        {**workload.settings, "app": "core", "kafka": kafka, "events": events}
    )


def new_shard(settings: Settings, build_learner: Callable[[], Learner]) -> InlineLabelProcessor:
    """A shard before its first record, as a restore of empty logs gives it."""
    source = PartitionSource(
        partition=0,
        events=settings.events.topic,
        labels=None,
        model_name=settings.app,
        model_version="0123456789ab",
        max_bytes=1_000_000,
        features=True,
    )
    settings_versions = (SettingsVersion(0, settings.events, settings.labels),)
    return InlineLabelProcessor(
        ProcessorConfig(source, settings.model, build_learner, settings_versions, {})
    )


class ShardSteps:
    """The methods that `InlineLabelProcessor.process` is made of."""

    def __init__(self, processor: InlineLabelProcessor) -> None:
        self._shard = processor

    def read(self, batch: Batch) -> list[Any]:
        """Decode, map, check."""
        return list(map(self._shard.model.read, batch))

    def predict(self, events: list[Any]) -> list[Any]:
        """Ask the model, check the answer."""
        rows = [event.features for event in events]
        if self._shard.learner.traits.batched:
            return self._shard._answers(rows)  # noqa: SLF001 - its stages are what is timed
        return list(map(self._shard.model.answer, rows))

    def encode(self, batch: Batch, events: list[Any], answers: list[Any]) -> list[Any]:
        """Make prediction records."""
        source, learned = self._shard.source, self._shard.learned
        return [
            prediction(source, record, event, answer, learned, record.timestamp, NOW)
            for record, event, answer in zip(batch, events, answers, strict=True)
        ]

    def learn(self, batch: Batch, events: list[Any]) -> None:
        """Learn, if the model does."""
        if self._shard.learner.traits.learns:
            learn = self._shard.learner.learn
            for _, event in zip(batch, events, strict=True):
                learn(event.features, event.label)


class BareSteps:
    """The least that gives the same documents from a River classifier."""

    def __init__(self, model: Any) -> None:
        self._predict, self._learn = model.predict_proba_one, model.learn_one

    def read(self, batch: Batch) -> list[Any]:
        """Parse."""
        rows = [orjson.loads(record.value or b"") for record in batch]
        return [(row.pop("id"), row.pop("label"), row) for row in rows]

    def predict(self, events: list[Any]) -> list[Any]:
        """Ask the model, take the most probable label."""
        predict = self._predict
        answers = [predict(row) for _, _, row in events]
        return [(max(answer, key=answer.get), answer) for answer in answers]

    def encode(self, batch: Batch, events: list[Any], answers: list[Any]) -> list[Any]:
        """Dump."""
        return [
            bare_document(record.offset, identity, label, answer, row)
            for record, (identity, _, row), (label, answer) in zip(
                batch, events, answers, strict=True
            )
        ]

    def learn(self, batch: Batch, events: list[Any]) -> None:  # noqa: ARG002 - as in Steps
        """Learn."""
        learn = self._learn
        for _, label, row in events:
            learn(row, label)


class BareBatchSteps(BareSteps):
    """The same from a static scikit-learn classifier, called once a batch."""

    def __init__(self, model: Any) -> None:
        self._model, self._classes = model, model.classes_.tolist()

    def read(self, batch: Batch) -> list[Any]:
        """Parse."""
        rows = [orjson.loads(record.value or b"") for record in batch]
        return [(row.pop("id"), None, row) for row in rows]

    def predict(self, events: list[Any]) -> list[Any]:
        """Ask the model once, take the most probable labels."""
        classes = self._classes
        matrix = np.array([list(row.values()) for _, _, row in events], np.float64)
        answers = self._model.predict_proba(matrix)
        best = answers.argmax(axis=1).tolist()
        return [
            (classes[winner], dict(zip(classes, answer, strict=True)))
            for winner, answer in zip(best, answers.tolist(), strict=True)
        ]

    def learn(self, batch: Batch, events: list[Any]) -> None:
        """It does not."""


def bare_document(
    offset: int, identity: str, label: Any, probabilities: dict[Any, float], row: dict[str, Any]
) -> bytes:
    """The bytes of a prediction."""
    return orjson.dumps(
        {
            "id": identity,
            "prediction": label,
            "probabilities": probabilities,
            "model": _BARE_MODEL,
            "event_time": NOW,
            "predicted_at": NOW,
            "source": {"topic": "events", "partition": 0, "offset": offset},
            "features": row,
        },
        option=orjson.OPT_NON_STR_KEYS,
    )
