"""Shards in memory, fed by hand: what the tests of the core share."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from millstream.core.join.pending_store import MemoryPendingStore, PendingStore
from millstream.core.models.factory import wrap
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.expression import build
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.replay import StateReplay
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import BatchResult, Output, Record
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import DeadLetter

LINEAR = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"
WAIT = 1_000
HOUR = 3_600_000
SOURCE = PartitionSource(0, "events", "labels", "model", "0123456789ab", 1_000_000, features=True)


def record(offset: int, document: Any, time: int, **parts: Any) -> Record:
    """A message with a JSON value."""
    value = document if isinstance(document, bytes | None) else orjson.dumps(document)
    return Record(offset, time, parts.get("key"), value, parts.get("headers"))


def event(offset: int, time: int, identity: Any = None, x: float | None = None) -> Record:
    """An event with two features."""
    name = offset if identity is None else identity
    return record(offset, {"id": name, "a": offset * 0.7 if x is None else x, "b": 1.0}, time)


def label(offset: int, time: int, identity: Any, *, value: Any = True) -> Record:
    """A label message."""
    return record(offset, {"id": identity, "label": value}, time)


def plan(
    model: str = LINEAR,
    *,
    skips: dict[tuple[str, int], DeadLetter] | None = None,
    make: Callable[[], object] | None = None,
    source: PartitionSource = SOURCE,
    classes: tuple[bool, ...] | None = None,
    events: dict[str, Any] | None = None,
    **labels: Any,
) -> ProcessorConfig:
    """A plan over events `{id, a, b}`; labels from a topic unless said otherwise."""
    spec = ModelSpec(river=model, classes=classes)
    wanted = {"from": "topic", "topic": "labels", "wait": WAIT, **labels}
    if wanted["from"] != "topic":
        wanted = {"from": wanted["from"]}
    labels_spec = LabelsSpec.model_validate(wanted)
    events_spec = EventsSpec.model_validate(
        {"topic": "events", "id": "id", "features": ["a", "b"], **(events or {})}
    )

    def learner() -> Learner:
        return wrap(
            make() if make else build(model), spec,
            labelled=labels_spec.source != "none", feature_names=("a", "b"),
        )  # fmt: skip

    return ProcessorConfig(
        source, spec, learner, (SettingsVersion(0, events_spec, labels_spec),), skips or {}
    )


def decoded(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    """Output records as documents."""
    return [orjson.loads(output.value or b"null") for output in outputs]


class Stores:
    """Where the predictions of a late shard wait, for whoever runs the same tests on several."""

    def __init__(self) -> None:
        self.make: Callable[[], PendingStore] = MemoryPendingStore


stores = Stores()


class Run:
    """A late shard with all that it has written so far."""

    def __init__(self, processor: DelayedLabelProcessor) -> None:
        self.processor = processor
        self.predictions: list[Output] = []
        self.examples: list[Output] = []
        self.dead_letters: list[Output] = []
        self.positions: dict[Any, int] = {"events": 0, "labels": 0}
        self.counts: dict[tuple[str, ...], int] = {}

    def feed(
        self,
        now: int,
        *,
        events: Sequence[Record] = (),
        labels: Sequence[Record] = (),
        at_end: tuple[bool, bool] = (True, True),
    ) -> BatchResult:
        """One call of `process`; `at_end` of events, of labels."""
        result = self.processor.process(
            {"events": list(events), "labels": list(labels)},
            {"events": at_end[0], "labels": at_end[1]},
            now,
        )
        self.predictions += result.predictions
        self.examples += result.examples
        self.dead_letters += result.dead_letters
        self.positions.update(result.positions)
        self.processor.committed()
        for key, amount in result.counts.items():
            self.counts[key] = self.counts.get(key, 0) + amount
        return result

    def kinds(self) -> list[tuple[str, Any]]:
        """(kind, id) of every example so far."""
        return [(example["kind"], example["id"]) for example in decoded(self.examples)]

    def reasons(self) -> list[str]:
        """Why records went to dead letters so far."""
        return [
            (dict(letter.headers or ())["millstream-reason"] or b"").decode()
            for letter in self.dead_letters
        ]


def late_run(**options: Any) -> Run:
    """A new late shard."""
    return Run(DelayedLabelProcessor(plan(**options), store=stores.make()))


def restored(
    predictions: Sequence[Output],
    examples: Sequence[Output],
    committed: dict[Any, int | None],
    *,
    owners: set[int] | None = None,
    **options: Any,
) -> DelayedLabelProcessor:
    """A shard made of its logs, as a runner restores it."""
    processor = DelayedLabelProcessor(plan(**options), store=stores.make())
    fold = StateReplay(processor, committed, owners)
    for offset, output in enumerate(examples):
        fold.example(Record(offset, 0, output.key, output.value, output.headers))
    for offset, output in enumerate(predictions):
        fold.prediction(Record(offset, 0, output.key, output.value, output.headers))
    fold.finish()
    processor.committed()
    return processor


def inline_shard(model: str = LINEAR, **options: Any) -> InlineLabelProcessor:
    """A shard whose labels are inside the events, under `label`."""
    given: dict[str, Any] = {"from": "event", **options}
    events = {"label": "label", **given.pop("events", {})}
    return InlineLabelProcessor(plan(model, events=events, **given))
