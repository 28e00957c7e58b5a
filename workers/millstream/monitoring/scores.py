"""Metrics of predictions by the kind of model, computed event by event as River does.

An event that the model had no answer for is left out, as River leaves it out.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from river import metrics
from sklearn.metrics import roc_auc_score

from millstream.core.models.interface.learner import Label
from millstream.core.models.interface.traits import Kind

_BINARY: Final = ("Accuracy", "F1", "Precision", "Recall")
_MULTICLASS: Final = ("Accuracy", "MacroF1", "BalancedAccuracy", "CohenKappa")
_NUMBERS: Final = ("MAE", "RMSE", "R2")
_CLUSTERS: Final = ("AdjustedRand", "VBeta")
_QUANTILES: Final = (0.5, 0.9, 0.99)


class Scores:
    """Metrics of the predictions of one kind of model."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.scored = 0
        """Predictions compared with a label."""
        self.without_answer = 0
        """Those that could not be, as the model knew nothing yet."""
        self._metrics: dict[str, Any] | None = None
        self._probable: dict[str, Any] = {}
        self._truths: set[Label] = set()
        self._anomalies: list[tuple[float, bool]] = []
        self._numbers: list[float] = []
        self._groups: Counter[Label] = Counter()

    def see(self, answer: Mapping[str, Any]) -> None:
        """Take in a prediction whose label may never come: what it says by itself."""
        if self.kind == "anomaly":
            self._numbers.append(answer["score"])
        if self.kind in {"clusterer", "anomaly"} and answer.get("prediction") is not None:
            self._groups[answer["prediction"]] += 1

    def judge(self, answer: Mapping[str, Any], truth: Label) -> None:
        """Hold a prediction against its label."""
        if self.kind == "anomaly":
            self._anomalies.append((answer["score"], bool(truth)))
        prediction = answer.get("prediction")
        if prediction is None:
            self.without_answer += self.kind != "anomaly"
            self.scored += self.kind == "anomaly"
            return
        if self._metrics is None:
            self._begin(truth)
        self.scored += 1
        truth = bool(truth) if self.kind == "anomaly" else truth
        for metric in (self._metrics or {}).values():
            metric.update(truth, prediction)
        probabilities = answer.get("probabilities")
        if self._probable and probabilities:
            self._truths.add(truth)
            chances = {True: probabilities.get("true", 0.0), False: probabilities.get("false", 0.0)}
            for metric in self._probable.values():
                metric.update(truth, chances)

    def _begin(self, truth: Label) -> None:
        names = {"regressor": _NUMBERS, "clusterer": _CLUSTERS, "anomaly": _BINARY}.get(
            self.kind, _BINARY if type(truth) is bool else _MULTICLASS
        )
        self._metrics = {name: getattr(metrics, name)() for name in names}
        if self.kind == "classifier" and type(truth) is bool:
            self._probable = {"ROCAUC": metrics.ROCAUC(), "LogLoss": metrics.LogLoss()}

    def result(self) -> dict[str, float]:
        """Name of each metric to its value so far; those without a comparison are left out."""
        named = {**(self._metrics or {}), **self._probable}
        if len(self._truths) < 2:  # a curve needs both classes
            named.pop("ROCAUC", None)
        found = {name: float(metric.get()) for name, metric in named.items()}
        if len({truth for _, truth in self._anomalies}) == 2:
            scores, truths = zip(*self._anomalies, strict=True)
            found["ROCAUC"] = float(roc_auc_score(truths, scores))
        return found

    def spread(self) -> dict[str, float]:
        """What the predictions are like by themselves: scores of anomalies, sizes of clusters."""
        found: dict[str, float] = {}
        if self._numbers:
            ordered = sorted(self._numbers)
            for part in _QUANTILES:
                found[f"score p{part * 100:g}"] = ordered[int(part * (len(ordered) - 1))]
            found["score max"] = ordered[-1]
        if self.kind == "anomaly" and self._groups:
            found["anomalies"] = self._groups[True]
        if self.kind == "clusterer":
            found |= {f"cluster {n}": size for n, size in sorted(self._groups.items())}
        return found
