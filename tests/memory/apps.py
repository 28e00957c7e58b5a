"""Settings of small apps in memory, and what bare River makes of the same data."""

from collections.abc import Iterable, Mapping
from typing import Any

from river import compose, linear_model, metrics, optim, preprocessing
from river.datasets import Phishing

from millstream.core.digest import digest
from millstream.memory import Memory

SCALED_LOGISTIC = (
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.005))"
)
PHISHING = [(dict(x), bool(y)) for x, y in Phishing()]
FEATURES = list(PHISHING[0][0])


def inline(**settings: Any) -> dict[str, Any]:
    """An app whose events carry their labels."""
    return {
        "app": "phishing",
        "events": {"topic": "sites", "id": "id", "features": FEATURES, "label": "phishing"},
        "labels": {"from": "event"},
        "model": {"river": SCALED_LOGISTIC},
        **settings,
    }


def late(labels: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """An app whose labels come on a topic of their own."""
    return {
        "app": "phishing",
        "events": {"topic": "sites", "id": "id", "features": FEATURES},
        "labels": {"from": "topic", "topic": "verdicts", "wait": "1h", **(labels or {})},
        "model": {"river": SCALED_LOGISTIC},
        **settings,
    }


def small(labels: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """An app of one feature, `x`, with late labels; no mapped times."""
    return late(labels, events={"topic": "sites", "id": "id", "features": ["x"]}, **settings)


def bare_model() -> compose.Pipeline:
    """The same model without any of Millstream."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.005)
    )


def bare_digest(examples: Iterable[tuple[Mapping[str, Any], Any]]) -> str:
    """Digest of the bare model after these examples."""
    model = bare_model()
    for features, label in examples:
        model.learn_one(dict(features), label)
    return digest(model)


def accuracy(predictions: Iterable[Mapping[str, Any]]) -> float:
    """Of predictions on Phishing, in its order, as River's own evaluation counts."""
    metric = metrics.Accuracy()
    for prediction, (_, label) in zip(predictions, PHISHING, strict=True):
        if prediction["prediction"] is not None:
            metric.update(label, prediction["prediction"])
    found: float = round(metric.get(), 6)
    return found


def topics(app: Memory) -> dict[str, list[list[Any]]]:
    """Every record of every output topic."""
    logs, settings = app.worker.logs, app.settings
    names = [settings.topic(each) for each in ("predictions", "examples", "models", "dead_letters")]
    return {
        name: [logs.records(name, number) for number in range(logs.partitions)] for name in names
    }
