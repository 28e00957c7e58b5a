"""Models that settings of tests name by `factory`."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from river import linear_model

from millstream import Answer, BaseLearner, Features, Label


class BreaksAt13(linear_model.LinearRegression):
    """Raises when it is to learn the number 13."""

    def learn_one(self, x: dict[str, Any], y: float, w: float = 1.0) -> None:  # type: ignore[override] # as linear models have it
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


ODD: Any = {
    "good": {"prediction": np.True_, "probabilities": {np.True_: np.float32(0.75)}},
    "nothing": None,
    "a number": 0.5,
    "no prediction": {"value": 1},
    "a key of the record": {"prediction": True, "id": "mine"},
    "probabilities of text": {"prediction": True, "probabilities": {"true": "a"}},
    "probabilities of None": {"prediction": True, "probabilities": {"true": None}},
    "probabilities in a list": {"prediction": True, "probabilities": [0.5]},
    "a prediction of many": {"prediction": np.zeros(2)},
    "not a number": {"prediction": np.float32("nan")},
    "too large": {"prediction": 2**70},
}


class Answers(BaseLearner):
    """Answers what an event tells it to, by the name of an odd answer."""

    kind = "classifier"

    def predict(self, features: Features) -> Answer:
        answer: Answer = ODD[features["odd"]]
        return answer

    def learn(self, features: Features, label: Label | None) -> None:
        """Nothing is to be learned."""


class ManyAnswers(Answers):
    """The same, many at once; one too few for three of them."""

    learns = False
    batched = True

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        answers = super().predict_many(rows)
        return answers[1:] if rows[0]["odd"] == "good" and len(rows) == 3 else answers


class Doubles(BaseLearner):
    """Changes the features that it is given."""

    kind = "regressor"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def predict(self, features: Features) -> Answer:
        features["odd"] *= 2  # type: ignore[index] # what it is told not to do
        return {"prediction": features["odd"]}

    def learn(self, features: Features, label: Label | None) -> None:  # noqa: ARG002 - enough
        self.seen.append(features["odd"])
        features["odd"] = 0  # type: ignore[index] # again


class FixedByItself(BaseLearner):
    """Says in each instance that it does not learn."""

    kind = "regressor"

    def __init__(self) -> None:
        self.learns = False

    def predict(self, features: Features) -> Answer:
        return {"prediction": float(features["odd"])}

    def learn(self, features: Features, label: Label | None) -> None:
        raise NotImplementedError


class Slotted(BaseLearner):
    """A sum that stands in a slot."""

    kind = "regressor"
    __slots__ = ("sum",)

    def __init__(self) -> None:
        self.sum = 0.0

    def predict(self, features: Features) -> Answer:  # noqa: ARG002 - all events are equal to it
        return {"prediction": self.sum}

    def learn(self, features: Features, label: Label | None) -> None:  # noqa: ARG002 - the same
        self.sum += float(label or 0)


class BatchedAndLearning(Frequency):
    """Would never learn."""

    batched = True


class NoKind(BaseLearner):
    """Does not say what it answers."""

    def predict(self, features: Features) -> Answer:
        raise NotImplementedError

    def learn(self, features: Features, label: Label | None) -> None:
        raise NotImplementedError


class OddKind(Frequency):
    """Says what nobody knows."""

    kind = "regression"  # type: ignore[assignment] # what is to be found


class HoldsALock(Frequency):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()
