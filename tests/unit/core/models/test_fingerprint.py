"""A factory that makes another model is noticed; one that makes the same is not, anywhere."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import base, compose, ensemble, forest, linear_model, optim, preprocessing
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from millstream.artifacts.loader import learner_factory
from millstream.core.models.factory import definition_digest
from millstream.core.models.fingerprint import factory_fingerprint
from tests.unit.artifacts.test_loader import INLINE, settings

RIVER_INLINE = {"factory": "made_here:make"}


def made(make: Callable[[], Any]) -> str | None:
    return factory_fingerprint(make(), make)


def scaled(rate: float = 0.01) -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(rate))


def fitted(rows: int = 20, seed: int | None = 1) -> Any:
    matrix = np.arange(40.0).reshape(20, 2)[:rows]
    return SGDClassifier(random_state=seed).fit(matrix, np.arange(rows) % 2)


def taught(examples: int) -> Any:
    model = scaled()
    for i in range(examples):
        model.learn_one({"a": i, "b": -i}, i % 2 == 0)
    return model


class Custom(base.Classifier):
    """A user's own model."""

    def learn_one(self, x: Any, y: Any) -> None:
        pass


class Drawn(Custom):
    """Draws its weight by itself, without a seed that anybody could see."""

    def __init__(self) -> None:
        self.weight = np.random.default_rng().random()


class Sized(Custom):
    """Keeps what it was made with under another name."""

    def __init__(self, size: int) -> None:
        self._size = size


def test_what_makes_a_difference_to_the_model_makes_another_digest() -> None:
    makes: list[Callable[[], Any]] = [
        scaled,
        lambda: scaled(0.02),
        lambda: preprocessing.MinMaxScaler() | scaled(),
        lambda: linear_model.LogisticRegression(optim.Adam()),
        lambda: ensemble.BaggingClassifier(scaled(), 3, 1),
        lambda: ensemble.BaggingClassifier(scaled(), 3, 2),
        lambda: ensemble.BaggingClassifier(scaled(0.02), 3, 1),
        lambda: compose.Select("a", "b") | scaled(),
        lambda: compose.Select("a", "c") | scaled(),
        lambda: taught(3),
        lambda: taught(4),
        lambda: Sized(1),
        lambda: Sized(2),
        lambda: SGDClassifier(random_state=1),
        lambda: SGDClassifier(random_state=2),
        fitted,
        lambda: fitted(18),
    ]
    digests = [made(make) for make in makes]
    assert None not in digests
    assert len(set(digests)) == len(digests)
    assert [made(make) for make in makes] == digests


@pytest.mark.parametrize(
    "make",
    [Drawn, forest.ARFClassifier, lambda: fitted(seed=None)],
    ids=["by itself", "River", "scikit-learn"],
)
def test_chance_that_nobody_seeded_does_not_make_another_model_at_each_start(
    make: Callable[[], Any],
) -> None:
    assert made(make) == made(make) is not None


def test_a_fresh_model_is_told_by_its_parameters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(scaled)
    monkeypatch.setattr(linear_model.LogisticRegression, "__init__", _with_more_inside())
    assert hasattr(scaled()["LogisticRegression"], "of_a_newer_version")
    assert made(scaled) == before


def _with_more_inside() -> Any:
    old = linear_model.LogisticRegression.__init__

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        old(self, *arguments, **named)
        self.of_a_newer_version = 1

    init.__signature__ = inspect.signature(old)
    return init


def test_the_version_of_scikit_learn_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(fitted)
    monkeypatch.setattr("sklearn.base.__version__", "9.9.9")
    assert fitted().__getstate__()["_sklearn_version"] == "9.9.9"
    assert made(fitted) == before


def test_what_has_no_state_to_read_is_left_out(tmp_path: Path) -> None:
    def make() -> Any:
        model: Any = StandardScaler()
        model.log = (tmp_path / "log").open("w")
        return model

    assert made(make) is None


SOURCE = """
from river import compose, ensemble, linear_model, naive_bayes, preprocessing, tree
def make():
    words = {{"the", "a", "of", "and"}}
    return (
        compose.Select(*words) + compose.Discard(*words)
        | preprocessing.StandardScaler()
        | ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier({}), n_models=3, seed=4)
    )
"""
VERSION = """
from millstream.core.models.factory import definition_digest
from millstream.artifacts.loader import learner_factory
from tests.unit.core.models.test_fingerprint import INLINE, RIVER_INLINE, settings
of = settings(RIVER_INLINE, INLINE)
print(definition_digest(of.model, of.labels, learner_factory(of)().traits.factory_fingerprint))
"""


def version(folder: Path, depth: str, hash_seed: int) -> str:
    """The model's version as a process of its own tells it."""
    (folder / "made_here.py").write_text(SOURCE.format(depth), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-B", "-c", VERSION],
        env={
            "PYTHONPATH": f"{folder}:{Path(__file__).parents[4]}",
            "PYTHONHASHSEED": str(hash_seed),
        },
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return ended.stdout.strip()


def test_a_version_is_the_same_in_every_process_until_the_code_of_the_factory_changes(
    tmp_path: Path,
) -> None:
    first = version(tmp_path, "", 1)
    assert len(first) == 12
    assert version(tmp_path, "", 2) == first
    assert version(tmp_path, "max_depth=5", 1) != first


def test_learners_of_a_factory_say_what_it_made_and_others_do_not() -> None:
    river = settings({"river": "naive_bayes.GaussianNB()"}, INLINE)
    assert learner_factory(river)().traits.factory_fingerprint is None
    factory = settings({"factory": "river.naive_bayes:GaussianNB"}, INLINE)
    one, other = learner_factory(factory)(), learner_factory(factory)()
    assert one.traits == other.traits
    assert one.traits.factory_fingerprint is not None
    with_it = definition_digest(factory.model, factory.labels, one.traits.factory_fingerprint)
    assert with_it != definition_digest(factory.model, factory.labels)
