"""What is measured on: websites of the Phishing data set, over and over, and a model for them."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import orjson
from river import anomaly, forest, preprocessing, tree
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tests.support.kafka.app import PHISHING, SCALED_LOGISTIC, scaled_logistic

FOREST_TREES = 100
FEATURES = len(PHISHING[0][0])

RIVER: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "scaler and logistic": (SCALED_LOGISTIC, scaled_logistic),
    "Hoeffding tree": ("tree.HoeffdingTreeClassifier()", tree.HoeffdingTreeClassifier),
    "ARF of 10": (
        "forest.ARFClassifier(n_models=10, seed=42)",
        lambda: forest.ARFClassifier(n_models=10, seed=42),
    ),
    "half-space trees": (
        "preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42)",
        lambda: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42),
    ),
}
"""Models that learn: as a settings file has them, and made by hand for a bare loop."""
UNSUPERVISED = {"half-space trees"}


@dataclass(frozen=True)
class Workload:
    """Events of one layout, and the settings that make Millstream work on them."""

    name: str
    settings: Mapping[str, Any]
    """`model`, `labels` and `events`, as a settings file has them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What a contender other than Millstream needs, by name: paths."""
    features: int = FEATURES
    river: str = "scaler and logistic"
    """Which of `RIVER`, where the model learns."""
    behind: int = 0
    """By how many events a label comes later, on a topic of its own; 0: there is no such topic."""

    @property
    def labelled(self) -> bool:
        """Whether each event carries its label."""
        return bool(self.settings["labels"]["from"] == "event")

    def events(self, count: int, first: int = 0) -> Iterator[bytes]:
        """`count` events as they are published, from number `first` on.

        About 300 bytes each with nine features; no id twice.
        """
        rows = table(self.features)
        return (
            orjson.dumps(event(number, labelled=self.labelled, rows=rows))
            for number in range(first, first + count)
        )

    def labels(self, count: int, first: int = 0) -> Iterator[bytes]:
        """The labels of those events, where they are messages of their own."""
        for number in range(first, first + count):
            made = event(number, labelled=True)
            yield orjson.dumps({"id": made["id"], "label": made["label"]})


Rows = list[tuple[dict[str, Any], bool]]


def event(number: int, *, labelled: bool, rows: Rows = PHISHING) -> dict[str, Any]:
    """Website `number`: its address as the id, its features, and its label if asked for."""
    features, truth = rows[number % len(rows)]
    address = f"https://site-{number:08}.example.org/account/verify?session={number:032x}"
    return {"id": address, **features, **({"label": truth} if labelled else {})}


@cache
def table(features: int) -> Rows:
    """The data set with so many features: its own nine, or more, each one of those with noise."""
    if features == FEATURES:
        return PHISHING
    dice = random.Random(features)
    return [
        (
            {
                f"f{i:03}": round(value + dice.uniform(-0.2, 0.2), 4)
                for i, value in enumerate((list(row.values()) * features)[:features])
            },
            truth,
        )
        for row, truth in PHISHING
    ]


def learning(model: str = "scaler and logistic", features: int = FEATURES) -> Workload:
    """A model that learns from the label in each event; an anomaly detector, from the event."""
    expression, _ = RIVER[model]
    labels = "none" if model in UNSUPERVISED else "event"
    return Workload(
        _name("learning" if model == "scaler and logistic" else model, features),
        {"model": {"river": expression}, "labels": {"from": labels}, **_columns(features)},
        features=features,
        river=model,
    )


def delayed(behind: int) -> Workload:
    """The cheap model, which learns from each label so many events after the event."""
    labels = {"from": "topic", "wait": "30d", "max_waiting": 10**9}
    inline = learning()
    return replace(
        inline,
        name=f"labels {behind} events later",
        settings={**inline.settings, "labels": labels},
        behind=behind,
    )


def static(folder: Path, model: str = "logistic", features: int = FEATURES) -> Workload:
    """A model of scikit-learn, fitted once; its file is written to `folder`."""
    name = _name("static" if model == "logistic" else f"static {model}", features)
    path = folder / f"{name.replace(' ', '-').replace(',', '')}.joblib"
    joblib.dump({"logistic": fitted_logistic, "forest": fitted_forest}[model](features), path)
    pinned = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Workload(
        name,
        {"model": {"sklearn": pinned}, "labels": {"from": "none"}, **_columns(features)},
        {"model": str(path)},
        features=features,
    )


def fitted_logistic(features: int = FEATURES) -> ClassifierMixin:
    """A static linear model."""
    return LogisticRegression().fit(*_matrix(features))


def fitted_forest(features: int = FEATURES) -> ClassifierMixin:
    """A static forest of 100 trees, on one core."""
    return RandomForestClassifier(FOREST_TREES, random_state=42).fit(*_matrix(features))


def _name(name: str, features: int) -> str:
    return name if features == FEATURES else f"{name}, {features} features"


def _columns(features: int) -> dict[str, Any]:
    return {"events": {"features": list(table(features)[0][0])}}


def _matrix(features: int) -> tuple[list[list[float]], list[bool]]:
    rows = table(features)
    return [list(row.values()) for row, _ in rows], [truth for _, truth in rows]
