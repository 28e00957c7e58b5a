"""A pickle may hold a model, and may do nothing else, however it is written."""

import collections
import datetime as dt
import functools
import operator
import os
import pickle
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, datasets, drift, feature_extraction, linear_model, stream, tree
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.parallel import Parallel

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.state_codec import BadStateError
from millstream.core.models.state_codec.safe_pickle import unpickle
from tests.unit.core.models.river.test_kinds import instances


class Does:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def memmap(path: Path) -> Any:
    return Does(np.memmap, str(path), np.uint8, "w+", 0, (1,))


METHOD = linear_model.PAClassifier().calc_tau
HOSTILE: dict[str, Any] = {
    "os.system": Does(os.system, "touch {}"),
    "eval": Does(eval, "open('{}', 'w')"),
    "exec": Does(exec, "open('{}', 'w')"),
    "open": Does(open, "{}", "w"),
    "__import__": Does(__import__, "antigravity"),
    "posix": b"cposix\nsystem\n(S'touch {}'\ntR.",
    "os.system by its old opcode": b"(S'touch {}'\nios\nsystem\n.",
    "a chain of getattr": Does(getattr, Does(getattr, METHOD, "__func__"), "__globals__"),
    "dunders of a class": Does(getattr, linear_model.PAClassifier, "__subclasses__"),
    "dunders of an object": Does(getattr, linear_model.PAClassifier(), "__reduce_ex__"),
    "attributes of a text": Does(getattr, "{}", "format"),
    "attributes of a dict": Does(getattr, {}, "__class__"),
    "attrgetter": Does(operator.attrgetter("__globals__"), METHOD),
    "methodcaller": operator.methodcaller("system", "touch {}"),
    "partial of a function that is not allowed": functools.partial(os.system, "touch {}"),
    "reduce": Does(functools.reduce, os.system, ["touch {}"]),
    "map": Does(list, Does(map, os.system, ["touch {}"])),
    "iter": Does(iter, []),
    "what River imports": b"criver.compose.pipeline\nio\n.",
    "what River imports, by a dotted name": b"\x80\x04\x8c\x15river.compose.pipeline"
    b"\x8c\x0ainspect.os\x93.",
    "a function of River": Does(stream.iter_csv, "{}"),
    "a class of River's data sets": datasets.Phishing(),
    "a data set inside another package": drift.datasets.AirlinePassengers(),
    "a cache on disk": Does(stream.Cache, "{}"),
    "scikit-learn's data sets": Does(load_iris),
    "calls in parallel": Does(Parallel),
    "a file mapped by NumPy": memmap(Path("{}")),
    "a file read by NumPy": Does(np.load, "{}"),
    "a code object": b"ctypes\nFunctionType\n.",
    "a module": b"ctypes\nModuleType\n.",
    "a class made at run time": Does(type, "A", (), {}),
    "a function that changes a column": FunctionTransformer(os.system),
    "sys": Does(sys.exit, 1),
    "a path": Path("{}"),
    "an unknown persistent id": b"Pos.system\n.",
    "the registry of extensions": b"\x82\x01.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_and_does_nothing(name: str, tmp_path: Path) -> None:
    hostile, mark = HOSTILE[name], tmp_path / "x"
    content = hostile if isinstance(hostile, bytes) else pickle.dumps(hostile, 0)
    content = content.replace(b"{}", str(mark).encode())
    with pytest.raises(BadStateError):
        unpickle(content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in HOSTILE if type(HOSTILE[name]) is not bytes])
def test_a_hostile_pickle_is_refused_in_the_newest_protocol_too(name: str) -> None:
    with pytest.raises(BadStateError):
        unpickle(pickle.dumps([HOSTILE[name]], 5))


def test_an_attribute_that_the_pickle_has_put_into_an_object_is_not_its_method() -> None:
    planted = linear_model.PAClassifier()
    planted.learn_one = dict
    (method,) = unpickle(pickle.dumps([Does(getattr, planted, "learn_one")]))
    assert method.__func__ is linear_model.PAClassifier.learn_one


def test_a_pickle_that_is_torn_is_refused() -> None:
    content = pickle.dumps(linear_model.LinearRegression())
    for length in range(0, len(content), 7):
        with pytest.raises(BadStateError):
            unpickle(content[:length])


def test_a_refusal_names_what_was_refused() -> None:
    with pytest.raises(BadStateError, match=r"names posix\.system, which is not allowed"):
        unpickle(pickle.dumps(os.system))


def test_a_state_that_rust_panics_on_is_an_error_and_no_panic() -> None:
    content = pickle.dumps(tree.HoeffdingTreeRegressor(), 5)
    assert digest(unpickle(content)) == digest(tree.HoeffdingTreeRegressor())
    rust = b"\x80\x04criver._river_rust.stats\nRsQuantile\n)\x81C\x01\xffb."
    with pytest.raises(BadStateError):
        unpickle(rust)


def test_every_model_of_river_comes_back_but_for_the_one_that_holds_an_iterator() -> None:
    refused = set()
    for name, model in instances():
        try:
            assert digest(unpickle(pickle.dumps(model, 5))) == digest(model)
        except BadStateError:
            refused.add(name.rpartition("-")[0])
    assert refused == {"multiclass.OutputCodeClassifier"}


@pytest.mark.parametrize(
    "estimator",
    [
        *(SGDClassifier(random_state=1), SGDRegressor(random_state=1), GaussianNB()),
        *(MultinomialNB(), MLPClassifier(random_state=1, max_iter=5), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_of_scikit_learn_come_back(estimator: Any) -> None:
    draw = np.random.default_rng(1)
    matrix = draw.random((60, 3))
    estimator.fit(matrix, matrix[:, 0] > 0.5)
    assert digest(unpickle(pickle.dumps(estimator, 5))) == digest(estimator)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, b"b", (1,), {2}, frozenset({3})]},
        collections.defaultdict(list, a=[1]),
        dt.timedelta(days=1),
        random.Random(1),
        np.random.RandomState(1),
        np.float64(1.5),
        np.arange(6.0).reshape(2, 3),
        feature_extraction.BagOfWords(lowercase=True),
        linear_model.SoftmaxRegression(),
        compose.Select("a") | linear_model.PAClassifier(),
    ],
)
@pytest.mark.parametrize("protocol", [4, 5])
def test_what_models_are_made_of_comes_back(value: Any, protocol: int) -> None:
    assert digest(unpickle(pickle.dumps(value, protocol))) == digest(value)


# -- modules that the settings trust --------------------------------------------------------------


class Mine(linear_model.LinearRegression):
    """Stands for a class of the user's own."""


def mine(features: dict[str, Any]) -> dict[str, Any]:
    return features


def test_a_class_and_a_function_of_a_trusted_module_come_back() -> None:
    model = compose.FuncTransformer(mine) | Mine()
    content = pickle.dumps(model)
    assert digest(unpickle(content, [__name__])) == digest(model)
    assert digest(unpickle(content, [__name__.partition(".")[0]])) == digest(model)
    for others in ([], [__name__[:-1]], [f"{__name__}.more"]):
        with pytest.raises(BadStateError):
            unpickle(content, others)


@pytest.mark.parametrize("name", ["os", "os.system", "Path", "random.os.system"])
def test_what_a_trusted_module_has_imported_is_not_trusted(name: str) -> None:
    module = __name__.encode()
    content = b"\x80\x04\x8c%c%b\x8c%c%b\x93." % (len(module), module, len(name), name.encode())
    with pytest.raises(BadStateError):
        unpickle(content, [__name__])
