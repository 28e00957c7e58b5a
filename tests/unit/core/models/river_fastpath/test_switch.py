"""Without fast paths every call is River's own, and gives the same bits."""

from collections.abc import Callable
from typing import Any

import pytest
from river import datasets, forest, linear_model, preprocessing

from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river_fastpath import pipeline

MODELS: dict[str, Callable[[], Any]] = {
    "scaled linear": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "forest": lambda: forest.ARFClassifier(n_models=3, seed=7),
    "plain pipeline": lambda: preprocessing.Normalizer() | linear_model.LogisticRegression(),
    "one model": linear_model.LogisticRegression,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_switch_leaves_answers_and_weights_as_they_are(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = river_learner(make())
    monkeypatch.setattr(pipeline, "ENABLED", False)
    slow = river_learner(make())
    assert slow._fast_path is None
    for features, label in datasets.Phishing().take(300):
        assert repr(slow.predict(features)) == repr(fast.predict(features))
        slow.learn(features, label)
        fast.learn(features, label)
    assert slow.digest() == fast.digest()


def test_the_switch_is_for_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ENABLED", False)
    for make in MODELS.values():
        model = make()
        assert pipeline.fast_path(model) is None
        assert pipeline.learning(model) == model.learn_one
        assert pipeline.answering(model, "predict_proba_one") == model.predict_proba_one
