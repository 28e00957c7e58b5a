"""Settings of small apps in memory, and what came of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from river import metrics

from millstream.memory import Memory
from tests.support.kafka.app import FEATURES, PHISHING, SCALED_LOGISTIC


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
