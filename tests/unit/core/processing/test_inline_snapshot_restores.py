"""Inline and unsupervised models: a snapshot and the events after it give what all events give."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from river import forest, neighbors
from sklearn.linear_model import SGDClassifier

from millstream.core.models.state_codec import capture
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import Record
from millstream.core.snapshots.snapshot import Snapshot, SnapshotMetadata, finish, load, unseal
from millstream.core.spec import EventsSpec
from millstream.errors import DeadLetter
from tests.support.processors import LINEAR, plan, record

VERSION = "0123456789ab"
EVENTS = 160
CLASSES = (False, True)
MODELS: dict[str, tuple[str, Callable[[], object] | None]] = {
    "linear": (LINEAR, None),
    "naive bayes": ("naive_bayes.GaussianNB()", None),
    "tree": ("tree.HoeffdingTreeClassifier(grace_period=10)", None),
    "bagging": ("ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=42)", None),
    "neighbours": ("neighbors.KNNClassifier(n_neighbors=3)", None),
    "forest": ("", lambda: forest.ARFClassifier(n_models=3, seed=1)),
    "neighbours with a search of their own": (
        "", lambda: neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=20)),
    ),
    "partial_fit": ("", lambda: SGDClassifier(random_state=1, loss="log_loss")),
}  # fmt: skip
UNSUPERVISED = {
    "anomalies": "anomaly.HalfSpaceTrees(seed=1, window_size=10)",
    "a filter, which changes when it predicts": (
        "anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9)"
    ),
    "clusters": "cluster.KMeans(n_clusters=3, seed=1)",
}


def history(dice: random.Random) -> list[Record]:
    """Events, most of them good."""
    made = []
    for offset in range(EVENTS):
        x, y = dice.gauss(0, 1), dice.gauss(0, 2)
        document: Any = {"id": offset, "a": x, "b": y, "label": x + y > 0, "other": x + y < 0}
        if dice.random() < 0.1:
            document = dice.choice([b"junk", None, {"id": offset}, {**document, "a": "much"}])
        made.append(record(offset, document, offset))
    return made


def processor(made: ProcessorConfig, dice: random.Random) -> PartitionProcessor:
    """With two changes of settings, and skips that the bytes do not tell."""
    first = made.settings_versions[0]
    renamed = EventsSpec.model_validate(
        first.events.model_dump(by_alias=True)
        | ({"label": "other"} if first.events.label else {})
        | {"bounds": {"a": (-1.5, None)}}
    )
    starts = sorted(dice.sample(range(1, EVENTS), 2))
    settings_versions = (
        first,
        SettingsVersion(starts[0], renamed, first.labels),
        SettingsVersion(starts[1], first.events, first.labels),
    )
    left_out = dice.sample(range(EVENTS), 2)
    skips = {("events", offset): DeadLetter("learn_error") for offset in left_out}
    return InlineLabelProcessor(replace(made, settings_versions=settings_versions, skips=skips))


def work(
    worker: PartitionProcessor, events: list[Record], dice: random.Random
) -> list[bytes | None]:
    """Batches of whatever size; returns the predictions."""
    predictions = []
    while events:
        size = dice.randrange(1, 30)
        batch, events = events[:size], events[size:]
        predictions += worker.process({"events": batch}, {}, 1000).predictions
    return [each.value for each in predictions]


def sealed(worker: PartitionProcessor, made: ProcessorConfig, position: int) -> Snapshot:
    about = SnapshotMetadata(
        app="app", partition=0, positions={"events": position}, logs={}, topic_ids={},
        learned=worker.learned, model_version=VERSION, model="", versions={}, created_at=0,
    )  # fmt: skip
    return unseal(finish(capture(worker.learner), about, made.build_learner(), worker.latest))


def held_against_a_replay(made: ProcessorConfig, seed: int) -> None:
    """At some offset a snapshot is taken; a restore at a later one goes on as if never stopped."""
    events = history(random.Random(seed))
    taken, restored = sorted(random.Random(seed).sample(range(EVENTS), 2))
    whole = processor(made, random.Random(seed))
    work(whole, events[:taken], random.Random(1))
    snapshot = sealed(whole, made, taken)
    work(whole, events[taken:restored], random.Random(2))
    learner = load(snapshot, made.build_learner, VERSION, {})
    again = processor(replace(made, build_learner=lambda: learner), random.Random(seed))
    again.learned = snapshot.about.learned
    work(again, events[taken:restored], random.Random(3))
    assert again.learned == whole.learned
    assert again.learner.digest() == whole.learner.digest()
    expected = work(whole, events[restored:], random.Random(4))
    assert work(again, events[restored:], random.Random(5)) == expected
    assert again.learner.digest() == whole.learner.digest()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_a_supervised_model_goes_on_from_a_snapshot_as_if_it_had_never_stopped(
    name: str, seed: int
) -> None:
    expression, make = MODELS[name]
    made = plan(
        expression or LINEAR, make=make, events={"label": "label"}, classes=CLASSES,
        **{"from": "event"},
    )  # fmt: skip
    held_against_a_replay(made, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", UNSUPERVISED)
def test_an_unsupervised_model_goes_on_from_a_snapshot_as_if_it_had_never_stopped(
    name: str, seed: int
) -> None:
    held_against_a_replay(plan(UNSUPERVISED[name], **{"from": "none"}), seed)
