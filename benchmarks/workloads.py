"""What is measured on: websites of the Phishing data set, over and over, and a model for them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import orjson
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tests.kafka.app import FEATURES, PHISHING, SCALED_LOGISTIC

FOREST_TREES = 100


@dataclass(frozen=True)
class Workload:
    """Events of one layout, and the settings that make Millstream work on them."""

    name: str
    settings: Mapping[str, Any]
    """`model` and `labels`, as a settings file has them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What a contender other than Millstream needs, by name: paths."""

    @property
    def labelled(self) -> bool:
        """Whether each event carries its label."""
        return bool(self.settings["labels"]["from"] == "event")

    def events(self, count: int) -> Iterator[bytes]:
        """`count` events as they are published: about 300 bytes each, no id twice."""
        return (orjson.dumps(event(number, labelled=self.labelled)) for number in range(count))


def event(number: int, *, labelled: bool) -> dict[str, Any]:
    """Website `number`: its address as the id, nine features, and its label if asked for."""
    features, truth = PHISHING[number % len(PHISHING)]
    address = f"https://site-{number:08}.example.org/account/verify?session={number:032x}"
    return {"id": address, **features, **({"label": truth} if labelled else {})}


def learning() -> Workload:
    """A scaler and a logistic regression that learn from the label in each event."""
    return Workload(
        "learning", {"model": {"river": SCALED_LOGISTIC}, "labels": {"from": "event"}}
    )  # fmt: skip


def static(folder: Path) -> Workload:
    """A logistic regression by scikit-learn, fitted once; its file is written to `folder`."""
    path = folder / "logistic.joblib"
    joblib.dump(fitted_logistic(), path)
    pinned = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Workload(
        "static",
        {"model": {"sklearn": pinned}, "labels": {"from": "none"}},
        {"model": str(path)},
    )


def fitted_logistic() -> LogisticRegression:
    """A static linear model."""
    return LogisticRegression().fit(*_matrix())


def fitted_forest() -> RandomForestClassifier:
    """A static forest of 100 trees, on one core."""
    return RandomForestClassifier(FOREST_TREES, random_state=42).fit(*_matrix())


def _matrix() -> tuple[list[list[float]], list[bool]]:
    rows = [[features[name] for name in FEATURES] for features, _ in PHISHING]
    return rows, [truth for _, truth in PHISHING]
