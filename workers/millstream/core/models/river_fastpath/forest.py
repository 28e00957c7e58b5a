"""An adaptive random forest whose trees are asked once for an event that is then learned.

River's forest asks each tree for its answer twice: when it predicts, and when it learns, to keep
count of how good each tree is. Nothing has changed in between where it learns the very event that
it has just answered, as it does where the label is in the event; so the second answer is the first.

The forest's own methods run, for River's forests and nothing derived from them. During such a call
recorders and replayers stand in for its trees: they record the tree's answer, or return it.

Source: `river.forest.ARFClassifier` and `ARFRegressor` of River 0.26, to which pyproject.toml
bounds it; tests/unit/core/models/river_fastpath/test_forest.py compares the two bit by bit.
"""

from collections.abc import Callable
from typing import Any, Final

from river import base, forest

from millstream.core.models.river_fastpath.steps import Features, has_own_methods

ANSWERS: Final[dict[Any, str]] = {
    forest.ARFClassifier: "predict_proba_one",
    forest.ARFRegressor: "predict_one",
}
"""The method by which each answers, and asks its trees."""


class _RecordingTree:
    """Stands in for a tree while the forest answers, and records its answer."""

    __slots__ = ("_ask", "answer", "tree")

    def __init__(self, tree: Any, method: str) -> None:
        self.tree = tree
        self._ask = getattr(tree, method)

    def predict_proba_one(self, features: Features) -> Any:
        self.answer = self._ask(features)
        return self.answer

    predict_one = predict_proba_one
    """A forest of regressors asks for this, one of classifiers for the other."""


class _ReplayingTree:
    """Stands in for a tree while the forest learns, and returns the recorded answer."""

    __slots__ = ("answer", "learn_one", "tree")

    def __init__(self, recorded: _RecordingTree) -> None:
        self.tree = recorded.tree
        self.answer = recorded.answer
        self.learn_one = recorded.tree.learn_one


class _ReplayingRegressor(_ReplayingTree):
    __slots__ = ()

    def predict_one(self, _features: Features) -> Any:
        return self.answer


class _ReplayingClassifier(_ReplayingTree):
    __slots__ = ()

    def predict_proba_one(self, _features: Features) -> Any:
        return self.answer

    predict_one = base.Classifier.predict_one
    """The label as River makes it of probabilities."""


def ask_trees_once(model: Any) -> "AskTreesOnce | None":
    """One for this model; None where it is anything but River's own forest."""
    method = ANSWERS.get(type(model))
    return (
        AskTreesOnce(model, method)
        if method and has_own_methods(model, method, "learn_one")
        else None
    )


class AskTreesOnce:
    """`ARFClassifier`, or `ARFRegressor`."""

    def __init__(self, model: Any, method: str) -> None:
        self.method = method
        """The name of the method that `answering` returns."""
        self._forest = model
        self._answer, self._learn = getattr(model, method), model.learn_one
        by_probabilities = method == "predict_proba_one"
        self._replaying: type[_ReplayingTree] = (
            _ReplayingClassifier if by_probabilities else _ReplayingRegressor
        )
        self._asked: list[_RecordingTree] = []
        self._features: Features = None
        """The event whose answers are recorded; None where there are none."""

    def answering(self) -> Callable[[Features], Any]:
        """The forest's `method`."""
        return self._predict

    def learn(self, features: Features, label: Any) -> None:
        """The forest's `learn_one`."""
        if features is not self._features:
            self._features = None
            self._learn(features, label)
            return
        self._features = None
        model, replaying = self._forest, self._replaying
        model.data = [replaying(each) for each in self._asked]
        try:
            self._learn(features, label)
        finally:  # a tree that has drifted was replaced
            model.data = [each.tree if type(each) is replaying else each for each in model.data]

    def write_back(self) -> None:
        """Forget the recorded answers: the caller may teach the forest."""
        self._features = None

    def _predict(self, features: Features) -> Any:
        self._features = None
        model, method = self._forest, self.method
        trees = model.data
        if not trees:
            return self._answer(features)
        model.data = asked = [_RecordingTree(tree, method) for tree in trees]
        try:
            answer = self._answer(features)
        finally:
            model.data = trees
        self._asked, self._features = asked, features
        return answer
