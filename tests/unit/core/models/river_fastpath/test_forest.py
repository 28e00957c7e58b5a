"""A forest whose trees are asked once is River's forest, to the last bit."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift, forest, metrics

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river_fastpath.forest import ask_trees_once

Example = tuple[dict[str, float], Any]
FORESTS: dict[str, Callable[[], Any]] = {
    "classifier": lambda: forest.ARFClassifier(n_models=4, seed=7),
    "classifier by probabilities": lambda: forest.ARFClassifier(
        n_models=3, seed=7, metric=metrics.LogLoss()  # type: ignore[arg-type] # River takes it
    ),
    "classifier without detectors": lambda: forest.ARFClassifier(
        n_models=3, seed=7, drift_detector=drift.NoDrift(), warning_detector=drift.NoDrift(),
        leaf_prediction="mc",
    ),
    "regressor": lambda: forest.ARFRegressor(n_models=4, seed=7),
    "regressor by the median": lambda: forest.ARFRegressor(
        n_models=3, seed=7, aggregation_method="median"
    ),
}  # fmt: skip
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["answer", "learn", "both", "both", "twice", "equal", "model"]),
        st.integers(0, 59),
    ),
    max_size=60,
)


class MyForest(forest.ARFClassifier):
    """May do anything."""


def examples(count: int, *, labels: bool) -> list[Example]:
    """Of a concept that turns into another every 300 examples, so that trees are replaced."""
    dice, made = random.Random(3), list[Example]()
    for number in range(count):
        features, turned = {name: dice.random() for name in "abcd"}, number // 300 % 2 == 1
        truth = (features["a"] + features["b"] > 1) ^ turned
        made.append((features, truth if labels else 9.0 * turned + features["c"]))
    return made


def answer_of(model: Any, features: dict[str, float]) -> str:
    if isinstance(model, forest.ARFRegressor):
        return repr({"prediction": float(model.predict_one(features))})
    probabilities = dict(model.predict_proba_one(features))
    prediction = max(probabilities, key=probabilities.__getitem__) if probabilities else None
    return repr({"prediction": prediction, "probabilities": probabilities})


@pytest.mark.parametrize("make", FORESTS.values(), ids=FORESTS)
@given(calls=CALLS)
def test_answers_and_trees_are_those_of_rivers_forest(
    make: Callable[[], Any], calls: list[tuple[str, int]]
) -> None:
    """Whatever is asked in between, and whichever event is learned."""
    own, ours = make(), river_learner(make())
    assert ours._fast_path is not None
    rows = examples(60, labels=isinstance(own, forest.ARFClassifier))
    for what, number in calls:
        features, label = rows[number]
        if what in ("answer", "both", "twice", "equal"):
            assert repr(ours.predict(features)) == answer_of(own, features)
        for _ in range({"learn": 1, "both": 1, "equal": 1, "twice": 2}.get(what, 0)):
            own.learn_one(features, label)
            ours.learn(dict(features) if what == "equal" else features, label)
        if what == "model":
            assert digest(ours.model) == digest(own)
            for model in (own, ours.model):  # whoever has it may teach it
                model.learn_one(features, label)
    assert digest(ours.model) == digest(own)


@pytest.mark.parametrize("make", FORESTS.values(), ids=FORESTS)
def test_so_it_is_where_trees_grow_drift_and_are_replaced(make: Callable[[], Any]) -> None:
    own, ours = make(), river_learner(make())
    for features, label in examples(1500, labels=isinstance(own, forest.ARFClassifier)):
        assert repr(ours.predict(features)) == answer_of(own, features)
        own.learn_one(features, label)
        ours.learn(features, label)
    assert digest(ours.model) == digest(own)
    if not isinstance(own.drift_detector, drift.NoDrift):
        assert own.n_drifts_detected() > 0, "else nothing was replaced, and this shows little"


@pytest.mark.parametrize("make", FORESTS.values(), ids=FORESTS)
def test_an_answer_is_good_for_one_example_even_if_the_same_is_learned_again(
    make: Callable[[], Any],
) -> None:
    own, ours = make(), river_learner(make())
    for features, label in examples(100, labels=isinstance(own, forest.ARFClassifier)):
        assert repr(ours.predict(features)) == answer_of(own, features)
        for _ in range(2):
            own.learn_one(features, label)
            ours.learn(features, label)
    assert digest(ours.model) == digest(own)


def test_each_tree_is_ask_trees_once_for_an_event_that_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it is for: without that, all of the above holds as well."""
    tree: Any = vars(forest)["adaptive_random_forest"].BaseTreeClassifier
    asked, ask = [], tree.predict_proba_one

    def count(self: Any, features: Any) -> Any:
        asked.append(self)
        return ask(self, features)

    monkeypatch.setattr(tree, "predict_proba_one", count)
    learner = river_learner(FORESTS["classifier"]())
    rows = examples(3, labels=True)
    for features, label in rows:
        learner.predict(features)
        learner.learn(features, label)
    # The first event finds no trees, so learning asks; the four of the others are asked once each.
    assert len(asked) == 4 * len(rows)


@pytest.mark.parametrize("broken", ["predict_proba_one", "learn_one"])
def test_trees_stand_in_the_forest_again_where_one_of_them_raises(broken: str) -> None:
    """A model that broke is thrown away by a worker, but not by everybody."""
    learner = river_learner(FORESTS["classifier"]())
    (features, label), *_ = examples(1, labels=True)
    learner.learn(features, label)
    trees = list(learner.model.data)

    def fail(*_: Any, **__: Any) -> None:
        raise ArithmeticError(broken)

    setattr(trees[2], broken, fail)

    def work() -> None:
        for _ in range(20):  # a forest has a tree learn an example some times, or not at all
            learner.predict(features)
            learner.learn(features, label)

    with pytest.raises(ArithmeticError, match=broken):
        work()
    assert all(now is tree for now, tree in zip(learner.model.data, trees, strict=True))


def test_only_rivers_own_forests_are() -> None:
    assert ask_trees_once(MyForest(n_models=2)) is None
    patched: Any = FORESTS["classifier"]()
    patched.learn_one = print
    assert ask_trees_once(patched) is None
    assert ask_trees_once(FORESTS["regressor"]()) is not None
