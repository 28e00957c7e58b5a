"""Models that scenarios name by `factory` or give as a file."""

from typing import Any

import numpy as np
from river import linear_model
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

UNLUCKY = 13.0


def sgd() -> SGDClassifier:
    """Learns by `partial_fit`."""
    return SGDClassifier(random_state=1)


def threshold_tree() -> DecisionTreeClassifier:
    """Fitted: true for an `x` above 0.5, whatever `y` is."""
    rows = np.array([[0.0, 0.0], [0.4, 1.0], [0.6, 0.0], [1.0, 1.0]])
    return DecisionTreeClassifier(max_depth=1, random_state=1).fit(rows, [False, False, True, True])


class Fragile(linear_model.LogisticRegression):
    """Breaks in the middle of learning, once it has changed a weight, where `x` is unlucky."""

    def learn_one(self, x: dict[Any, Any], y: Any, w: float = 1.0) -> None:
        super().learn_one(x, y, w)
        if x["x"] == UNLUCKY:
            raise ValueError("no")

    def predict_proba_one(self, x: dict[Any, Any], **more: Any) -> Any:
        if x["y"] == UNLUCKY:
            raise ValueError("no")
        parent: Any = super()  # whose methods have no types
        return parent.predict_proba_one(x, **more)


def fragile() -> Fragile:
    """What breaks."""
    return Fragile()


def taught() -> linear_model.LogisticRegression:
    """Has learned one example already."""
    model = linear_model.LogisticRegression()
    model.learn_one({"x": 1.0, "y": 2.0}, True)
    return model
