"""scikit-learn estimators that learn row by row, and what they answer meanwhile."""

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from river.datasets import Phishing, TrumpApproval
from sklearn.cluster import MiniBatchKMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from millstream.core.models.interface.answers import answer_is_finite
from millstream.core.models.scikit_learn.incremental import IncrementalSklearn
from millstream.errors import SettingsError

ROWS = [features for features, _ in Phishing().take(300)]
LABELS = [label for _, label in Phishing().take(300)]
NAMES = tuple(ROWS[0])
MATRIX = np.array([list(row.values()) for row in ROWS])
TRUMP = list(TrumpApproval().take(200))


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        (SGDClassifier(random_state=1), (False, True)),
        (SGDClassifier(loss="log_loss", random_state=1), ("fine", "phish")),
        (MultinomialNB(), (0, 1)),
        (SGDClassifier(penalty=None, learning_rate="pa1", random_state=1), ("fine", "phish")),
        (Perceptron(random_state=1), (False, True)),
        (MLPClassifier((4,), random_state=1), ("fine", "phish")),
    ],
    ids=str,
)
def test_learning_is_partial_fit_row_by_row(estimator: Any, classes: tuple[Any, ...]) -> None:
    bare, learner = copy.deepcopy(estimator), IncrementalSklearn(estimator, classes, NAMES)
    assert learner.predict(ROWS[0])["prediction"] is None
    labels = [classes[label] for label in LABELS[:40]]
    for i, (row, label) in enumerate(zip(ROWS, labels, strict=False)):
        answer = learner.predict(row)
        if i:
            assert answer["prediction"] == bare.predict(MATRIX[i : i + 1]).tolist()[0]
            assert type(answer["prediction"]) is type(label)
            assert answer_is_finite(answer)
        bare.partial_fit(MATRIX[i : i + 1], np.array([label]), classes=np.array(classes))
        learner.learn(row, label)
    twin = pickle.loads(pickle.dumps(learner))
    assert twin.digest() == learner.digest()
    assert np.array_equal(
        bare.predict(MATRIX), [answer["prediction"] for answer in learner.predict_many(ROWS)]
    )


def test_a_learner_with_probabilities_has_none_before_its_first_example() -> None:
    assert IncrementalSklearn(MultinomialNB(), (0, 1), NAMES).predict(ROWS[0]) == {
        "prediction": None,
        "probabilities": {},
    }
    assert IncrementalSklearn(SGDClassifier(), (0, 1), NAMES).predict(ROWS[0]) == {
        "prediction": None
    }


class KnowsNoOdds(SGDClassifier):
    """Answers NaN until it has seen all three classes, and again once it is broken."""

    def predict_proba(self, matrix: Any) -> Any:
        seen = (self.coef_ != 0).any(axis=1).all() and not getattr(self, "broken", False)
        return np.full((len(matrix), 3), 1 / 3 if seen else math.nan)

    def partial_fit(self, matrix: Any, labels: Any, classes: Any = None) -> Any:
        self.coef_ = getattr(self, "coef_", np.zeros((3, matrix.shape[1])))
        self.classes_ = getattr(self, "classes_", classes)
        self.coef_[labels[0]] = 1
        self.intercept_ = np.zeros(3)
        return self


def test_nan_is_no_answer_yet_only_until_every_class_has_been_seen() -> None:
    learner = IncrementalSklearn(KnowsNoOdds(), (0, 1, 2), NAMES)
    for label in (0, 0, 1, 0):
        learner.learn(ROWS[0], label)
        assert learner.predict(ROWS[0]) == {"prediction": None, "probabilities": {}}
    learner.learn(ROWS[0], 2)
    assert answer_is_finite(learner.predict(ROWS[0]))
    learner.model.broken = True
    assert not answer_is_finite(learner.predict(ROWS[0]))


def test_a_regressor_learns_numbers() -> None:
    learner = IncrementalSklearn(SGDRegressor(random_state=1), None, tuple(TRUMP[0][0]))
    assert learner.predict(TRUMP[0][0]) == {"prediction": None}
    for features, label in itertools.islice(TRUMP, 20):
        learner.learn({name: value / 1e6 for name, value in features.items()}, label)
    assert type(learner.predict(TRUMP[0][0])["prediction"]) is float


def test_a_fitted_estimator_goes_on_from_what_it_knows() -> None:
    model = GaussianNB().fit(MATRIX, LABELS)
    learner = IncrementalSklearn(model, None, NAMES)
    assert learner.predict(ROWS[0])["prediction"] == model.predict(MATRIX[:1]).tolist()[0]
    before = learner.digest()
    learner.learn(ROWS[0], LABELS[0])
    assert learner.digest() != before


def test_a_label_that_is_no_class_is_not_learned_as_another() -> None:
    learner = IncrementalSklearn(SGDClassifier(random_state=1), ("a", "b"), NAMES)
    learner.learn(ROWS[0], "a")
    before = learner.digest()
    with pytest.raises(ValueError, match="none of the classes"):
        learner.learn(ROWS[1], "c")
    assert learner.digest() == before


@pytest.mark.parametrize(
    ("estimator", "classes", "why"),
    [
        (RandomForestClassifier(), (0, 1), "no partial_fit); set labels.from: none"),
        (make_pipeline(StandardScaler(), SGDClassifier()), (0, 1), "a Pipeline cannot learn"),
        (SGDClassifier(), None, r"model.classes is missing"),
        (GaussianNB().fit(MATRIX, LABELS), ("a", "b"), "was fitted on the classes [False, True]"),
        (GaussianNB().fit(MATRIX, LABELS), (0, 1), "was fitted on the classes [False, True]"),
        (SGDClassifier(), ("a",), "model.classes: SGDClassifier needs two classes at least"),
        (SGDClassifier(), (0, True), "model.classes: SGDClassifier takes classes of one type"),
        (SGDClassifier(), ("a", 2), "model.classes: SGDClassifier takes classes of one type"),
        (GaussianNB(), (0, 1), "GaussianNB cannot begin event by event"),
        (
            GaussianNB().partial_fit(MATRIX, [0] * len(MATRIX), [0, 1]),
            (0, 1),
            "GaussianNB cannot begin event by event",
        ),
        (MiniBatchKMeans(), None, "does not learn from labels"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_learn_by_partial_fit_is_refused_in_one_sentence(
    estimator: Any, classes: Any, why: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        IncrementalSklearn(estimator, classes, NAMES)
    assert why in str(refusal.value)
