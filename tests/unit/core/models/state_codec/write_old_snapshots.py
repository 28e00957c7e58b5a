"""Write snapshots with whatever River is installed, for `test_old_river.py` to read with ours.

    PYTHONPATH=workers PYTHON tests/unit/core/models/state_codec/write_old_snapshots.py FOLDER

PYTHON has the release of River before ours, which cannot run all of Millstream: so the learner here
stands in for Millstream's, with the same answers. The snapshots in `old_river/` were written by
River 0.25.0; write them anew only when the format of snapshots changes.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from river import base

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.expression import build
from millstream.core.models.state_codec import capture
from millstream.core.snapshots.snapshot import SnapshotMetadata, finish

SCALED = "preprocessing.StandardScaler() | "
PLAIN = {
    "logistic": f"{SCALED}linear_model.LogisticRegression()",
    "adam": "preprocessing.MinMaxScaler() | linear_model.LogisticRegression(optim.Adam(), l2=.01)",
    "l1": "preprocessing.MaxAbsScaler() | linear_model.LinearRegression(l1=.001)",
    "passive-aggressive": f"{SCALED}linear_model.PARegressor()",
    "softmax": f"{SCALED}linear_model.SoftmaxRegression()",
    "naive-bayes": "naive_bayes.GaussianNB()",
    "multinomial": "naive_bayes.MultinomialNB()",
    "one-vs-rest": f"{SCALED}multiclass.OneVsRestClassifier(linear_model.LogisticRegression())",
    "union": "(compose.Discard('a') + compose.Select('a')) | linear_model.PAClassifier()",
}
OPAQUE = {
    "robust": "preprocessing.RobustScaler() | linear_model.LogisticRegression()",
    "adaptive": "preprocessing.AdaptiveStandardScaler() | linear_model.LogisticRegression()",
}
"""Models that hold statistics in Rust, whose state only their own release is sure to know."""
PICKLED = {"tree": "tree.HoeffdingTreeClassifier(grace_period=20)"}
MODELS = {**PLAIN, **OPAQUE, **PICKLED}
VERSION = "0123456789ab"
PROBE = {"a": 0.3, "b": 0.7, "c": 0.01}


class Stand:
    """Enough of a learner to be captured, restored and asked."""

    untrained = False

    def __init__(self, expression: str) -> None:
        self.state = self
        self.model: Any = build(expression)
        last = list(self.model.steps.values())[-1] if hasattr(self.model, "steps") else self.model
        self.regresses = isinstance(last, base.Regressor)

    def predict(self, features: Any) -> dict[str, Any]:
        """Answer as `RiverClassifier` and `RiverRegressor` do."""
        if self.regresses:
            number = self.model.predict_one(features)
            return {"prediction": number if type(number) is float else number.item()}
        chances = self.model.predict_proba_one(features)
        return {"prediction": max(chances, key=chances.get), "probabilities": chances}

    def replace_model(self, model: Any, *, untrained: bool) -> None:  # noqa: ARG002 - as in `LearnerState`
        """As in `Learner`."""
        self.model = model

    def digest(self) -> str:
        """As in `Learner`."""
        return digest(self.model)


def rows(*, regresses: bool) -> Iterator[tuple[dict[str, float], Any]]:
    """Make up examples, the same ones wherever this runs."""
    for i in range(200):
        features = {"a": i * 0.37 % 1, "b": i * 0.11 % 1 + 0.5, "c": i * 0.73 % 1 / 7}
        total = features["a"] * 2 + features["b"]
        yield features, total if regresses else total > 1.8


def write(folder: Path) -> None:
    """Write a snapshot of each model."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = {name: version(name) for name in ("river", "scikit-learn", "numpy")}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    for name, expression in MODELS.items():
        stand: Any = Stand(expression)
        for features, label in rows(regresses=stand.regresses):
            stand.model.learn_one(features, label)
        about = SnapshotMetadata(
            app="old",
            partition=0,
            positions={"events": 200},
            logs={"events": 200},
            topic_ids={},
            learned=200,
            model_version=VERSION,
            model=expression,
            versions=versions,
            created_at=1_767_225_600_000,
        )
        fresh: Any = Stand(expression)
        (folder / f"{name}.snapshot").write_bytes(finish(capture(stand), about, fresh, PROBE))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
