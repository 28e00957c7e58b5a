"""Models that settings of tests name by `factory`."""

from typing import Any

from river import linear_model

from millstream import Answer, BaseLearner, Features, Label


class BreaksAt13(linear_model.LinearRegression):
    """Raises when it is to learn the number 13."""

    def learn_one(self, x: dict[str, Any], y: float, w: float = 1.0) -> None:
        if y == 13:
            raise ArithmeticError("13")
        super().learn_one(x, y, w)


def breaks_at_13() -> BreaksAt13:
    return BreaksAt13()


class Frequency(BaseLearner):
    """The label that came most often with a colour."""

    kind = "classifier"

    def __init__(self) -> None:
        self.counts: dict[str, dict[Label, int]] = {}

    def predict(self, features: Features) -> Answer:
        counts = self.counts.get(features["colour"], {})
        return {"prediction": max(counts, key=lambda label: counts[label]) if counts else None}

    def learn(self, features: Features, label: Label | None) -> None:
        if label is None:
            raise ValueError("a label is needed")
        counts = self.counts.setdefault(features["colour"], {})
        counts[label] = counts.get(label, 0) + 1


class Longer(BaseLearner):
    """A rule, which learns nothing."""

    kind = "classifier"
    learns = False

    def predict(self, features: Features) -> Answer:
        return {"prediction": len(features["colour"]) > 3}

    def learn(self, features: Features, label: Label | None) -> None:
        raise NotImplementedError


def frequency() -> Frequency:
    return Frequency()


def longer_than_three() -> Longer:
    return Longer()
