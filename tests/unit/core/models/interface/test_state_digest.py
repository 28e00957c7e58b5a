"""The canonical digest: equal if and only if the state is equal."""

import collections
import copy
import itertools
import json
import math
import os
import pickle
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river.datasets import Phishing
from sklearn.ensemble import RandomForestClassifier

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.expression import build

MODELS = {
    "scaled logistic regression": "preprocessing.StandardScaler() | "
    "linear_model.LogisticRegression(optimizer=optim.SGD(.005))",
    "naive Bayes": "naive_bayes.GaussianNB()",
    "tree": "tree.HoeffdingTreeClassifier(grace_period=50)",
    "bagging": "ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=42)",
    "forest": "forest.ARFClassifier(n_models=3, seed=42)",
    "half-space trees": "preprocessing.MinMaxScaler() | "
    "anomaly.HalfSpaceTrees(n_trees=3, height=4, window_size=50, seed=42)",
    "k-means": "cluster.KMeans(n_clusters=4, seed=42)",
    "neighbours": "neighbors.KNNClassifier(engine=neighbors.SWINN(maxlen=99, warm_up=50, seed=1))",
    "boosting": "ensemble.AdaBoostClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1)",
    "rolling statistics": "(preprocessing.MinMaxScaler(window_size=20) + "
    "(preprocessing.RobustScaler() | compose.Prefixer('robust'))) | linear_model.PAClassifier()",
}
EXAMPLES = 200


def learned(text: str, examples: int) -> Any:
    model: Any = build(text)
    for features, label in Phishing().take(examples):
        if model._supervised:
            model.learn_one(features, label)
        else:
            model.learn_one(features)
    return model


def pickled(obj: Any) -> Any:
    return pickle.loads(pickle.dumps(obj))


def all_digests() -> dict[str, str]:
    return {name: digest(learned(text, EXAMPLES)) for name, text in MODELS.items()}


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    return all_digests()


@pytest.mark.parametrize("hash_seed", ["1", "4321"])
def test_models_that_learned_the_same_in_other_processes_are_equal(
    digests: dict[str, str], hash_seed: str
) -> None:
    program = f"import json, {__name__} as t; print(json.dumps(t.all_digests()))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(output)
    del found["k-means"]  # River's sums follow the hash order of feature names: `hash_ordered`
    assert found == {name: digests[name] for name in found}


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_equal_and_one_more_example_is_not(name: str, digests: dict[str, str]) -> None:
    model = learned(MODELS[name], EXAMPLES)
    assert digest(model) == digests[name]
    assert digest(pickled(model)) == digests[name]
    assert digest(copy.deepcopy(model)) == digests[name]
    assert digest(learned(MODELS[name], EXAMPLES + 1)) != digests[name]


@pytest.mark.parametrize("name", MODELS)
def test_a_pickled_copy_that_goes_on_learning_stays_equal(name: str) -> None:
    model = learned(MODELS[name], EXAMPLES)
    twin = pickled(model)
    for features, label in itertools.islice(Phishing(), EXAMPLES, EXAMPLES + 50):
        for each in (model, twin):
            each.learn_one(*((features, label) if each._supervised else (features,)))
    assert digest(model) == digest(twin)


def test_a_look_up_of_an_unknown_feature_leaves_no_trace() -> None:
    asked = learned(MODELS["scaled logistic regression"], 20)
    before = digest(asked)
    asked.predict_one({"never seen": 1.0})
    assert digest(asked) == before


def test_a_plan_that_a_pipeline_makes_when_it_is_first_used_is_no_state() -> None:
    model: Any = build(MODELS["scaled logistic regression"])
    before = digest(model)
    model.predict_one({})
    assert digest(model) == before


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


class Plain:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)


EQUAL: list[tuple[Any, Any]] = [
    (math.nan, float("nan") * -1),
    ({"b", "a", 3}, {3, "a", "b"}),
    (frozenset({(1, "x"), (2, "y")}), frozenset({(2, "y"), (1, "x")})),
    ("ab", "cab"[1:]),
    ([1.5, 1.5], [1.5, 3 / 2]),
    (Plain(a=1, b=2), Plain(b=2, a=1)),
    (Slotted(1, [2]), Slotted(1, [2])),
    (np.arange(4).reshape(2, 2), np.asfortranarray(np.arange(4).reshape(2, 2))),
    (np.array([np.nan]), np.array([-np.nan])),
    (np.random.RandomState(3), np.random.RandomState(3)),
    (np.random.default_rng(3), np.random.default_rng(3)),
    (seeded(7), seeded(7)),
    (itertools.count(4), itertools.count(4)),
    (10**30, 10**30),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (0.0, -0.0),
    (0.1 + 0.2, 0.3),
    (1, 1.0),
    (1, True),
    ("1", 1),
    (b"a", "a"),
    ((1, 2), [1, 2]),
    ({1, 2}, frozenset({1, 2})),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([["a"], "b"], [["a", "b"]]),
    (["ab", "c"], ["a", "bc"]),
    ({}, collections.OrderedDict()),
    (collections.Counter("ab"), {"a": 1, "b": 1}),
    (collections.defaultdict(int), collections.defaultdict(float)),
    (collections.deque([1], maxlen=1), collections.deque([1], maxlen=2)),
    (Plain(a=1), Plain(a=2)),
    (Slotted(1, 2), Slotted(2, 1)),
    (np.arange(3), np.arange(3.0)),
    (np.arange(4), np.arange(4).reshape(2, 2)),
    (np.float64(1.0), 1.0),
    (seeded(7), seeded(8)),
    (np.random.default_rng(3), np.random.default_rng(4)),
    (itertools.count(4), itertools.count(5)),
    (math.sin, math.cos),
    (Plain, Slotted),
    (10**30, 10**30 + 1),
]


def named(value: object) -> str:
    """A name for a test, the same in every process."""
    return type(value).__name__


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=named)
def test_equal_states_have_equal_digests(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=named)
def test_different_states_have_different_digests(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_one_list_under_two_names_is_not_two_equal_lists() -> None:
    shared = [1]
    assert digest([shared, shared]) != digest([[1], [1]])
    assert digest([shared, shared]) == digest(pickled([shared, shared]))


def test_cycles_end() -> None:
    def ring(value: int) -> list[Any]:
        items: list[Any] = [value]
        items.append({"whole": items})
        return items

    assert digest(ring(1)) == digest(ring(1))
    assert digest(ring(1)) != digest(ring(2))


def test_a_set_of_objects_that_lead_back_to_it_ends() -> None:
    def group(*values: int) -> set[Any]:
        members: set[Any] = set()
        members.update(Plain(value=value, members=members) for value in values)
        return members

    assert digest(group(1, 2, 3)) == digest(group(3, 1, 2))
    assert digest(group(1, 2)) != digest(group(1, 3))


def test_deep_nesting_is_no_problem() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(digest(deep)) == 64


def test_a_numpy_generator_that_has_drawn_is_different() -> None:
    generator = np.random.default_rng(3)
    before = digest(generator)
    generator.random()
    assert digest(generator) != before


def test_a_fitted_forest_equals_its_pickled_copy() -> None:
    rows = [list(features.values()) for features, _ in Phishing().take(100)]
    labels = [label for _, label in Phishing().take(100)]
    forest = RandomForestClassifier(5, random_state=1).fit(rows, labels)
    assert digest(forest) == digest(pickled(forest))
    assert digest(forest) != digest(RandomForestClassifier(5, random_state=2).fit(rows, labels))


def test_what_has_no_state_that_can_be_read_is_refused() -> None:
    with pytest.raises(TypeError):
        digest(value for value in ())
