"""Facts that follow from several settings are the same for every part of the worker."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
from river import linear_model

from millstream import Memory, make_settings
from millstream.config.settings import Settings
from millstream.kafka.admin import TopicInfo
from millstream.kafka.topic_layout import is_replayed, missing_or_unequal, needed_topics

INPUTS = {"events": "sites", "labels": "verdicts"}
OUTPUTS = {"predictions": "a.predictions", "models": "a.models", "dead-letters": "a.dead-letters"}


def settings(labels: dict[str, Any] | None = None, **sections: Any) -> Settings:
    return make_settings({
        "app": "a",
        "kafka": {"bootstrap.servers": "b:1"},
        "events": {"topic": "sites", "id": "id", "features": ["x"]},
        "labels": {"from": "topic", "topic": "verdicts", "wait": "1h", **(labels or {})},
        "model": {"river": "linear_model.LogisticRegression()", "learn": False},
        **sections,
    })  # fmt: skip


def learning(labels: dict[str, Any] | None = None) -> Settings:
    return settings(labels, model={"river": "linear_model.LogisticRegression()"})


def test_a_model_that_learns_from_a_labels_topic_needs_it_and_an_examples_topic() -> None:
    app = learning()
    assert app.has_delayed_labels
    assert app.inputs == INPUTS
    assert needed_topics(app) == {**INPUTS, "examples": "a.examples", **OUTPUTS}
    assert is_replayed(app, "examples", learns=True)


def test_a_model_that_does_not_learn_needs_neither_labels_nor_examples() -> None:
    app = settings()
    assert not app.has_delayed_labels
    assert app.inputs == {"events": "sites"}
    assert needed_topics(app) == {"events": "sites", **OUTPUTS}
    known = {name: TopicInfo(1, 1) for name in ("sites", *OUTPUTS.values())}
    assert missing_or_unequal(app, known) == []


def test_labels_inside_of_events_are_not_delayed() -> None:
    events = {"topic": "sites", "id": "id", "label": "bad", "features": ["x"]}
    model = {"river": "linear_model.LogisticRegression()"}
    app = make_settings({
        "app": "a", "kafka": {"bootstrap.servers": "b:1"},
        "events": events, "labels": {"from": "event"}, "model": model,
    })  # fmt: skip
    assert not app.has_delayed_labels
    assert app.inputs == {"events": "sites"}


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_model_that_does_not_learn_predicts_beside_labels_that_it_never_reads(
    tmp_path: Path, guarantee: str
) -> None:
    weights = tmp_path / "model.pickle"
    weights.write_bytes(pickle.dumps(linear_model.LogisticRegression()))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    model = {
        "river": "linear_model.LogisticRegression()",
        "learn": False,
        "weights": {"path": str(weights), "sha256": digest},
    }
    app = Memory(settings(model=model, processing_guarantee=guarantee))
    assert app.predict({"id": 1, "x": 2.0})["id"] == 1
    app.label(1, label=True)
    app.restart()
    assert app.predict({"id": 2, "x": 2.0})["id"] == 2
    assert (app.learned, app.waiting, app.examples, app.dead_letters) == (0, 0, [], [])


@pytest.mark.parametrize(
    ("events_id", "labels", "paths"),
    [
        ("id", {}, ("id", "label")),
        ("event.key", {}, ("event.key", "label")),
        ("id", {"id": "about", "label": "verdict.fraud"}, ("about", "verdict.fraud")),
    ],
)
def test_paths_in_label_messages_follow_those_of_events(
    events_id: str, labels: dict[str, Any], paths: tuple[str, str]
) -> None:
    app = settings(labels, events={"topic": "sites", "id": events_id, "features": ["x"]})
    assert (app.labels.id_path(app.events), app.labels.label_path) == paths
