"""scikit-learn estimators as learners: the same answers, in batches and one by one."""

import copy
import warnings
from typing import Any

import numpy as np
import orjson
import pytest
from river.datasets import Phishing, TrumpApproval
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from millstream.core.models.scikit_learn.static import StaticSklearn
from millstream.errors import SettingsError

ROWS = [features for features, _ in Phishing().take(300)]
LABELS = [label for _, label in Phishing().take(300)]
NAMES = tuple(ROWS[0])
MATRIX = np.array([list(row.values()) for row in ROWS])
WORDS = np.array(["phish" if label else "fine" for label in LABELS])
TRUMP = list(TrumpApproval().take(200))

CLASSIFIERS = [
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(StandardScaler(), SelectKBest(k=4), DecisionTreeClassifier(random_state=1)),
    RandomForestClassifier(10, random_state=1),
    ExtraTreesClassifier(10, random_state=1),
    BaggingClassifier(random_state=1),
    HistGradientBoostingClassifier(max_iter=10),
    AdaBoostClassifier(n_estimators=5, random_state=1),
    CalibratedClassifierCV(SVC()),
    KNeighborsClassifier(4),
    GaussianNB(),
    SVC(),
    RidgeClassifier(),
    Perceptron(),
    SGDClassifier(loss="modified_huber", random_state=1),
    VotingClassifier([("a", GaussianNB()), ("b", KNeighborsClassifier())], voting="soft"),
    VotingClassifier([("a", GaussianNB()), ("b", KNeighborsClassifier())], voting="hard"),
    FixedThresholdClassifier(LogisticRegression(), threshold=0.8),
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}),
]


@pytest.mark.parametrize("labels", [np.array(LABELS), WORDS], ids=["booleans", "words"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: str(e).replace("\n", "")[:50])
def test_a_classifier_answers_as_its_own_methods_do(estimator: Any, labels: Any) -> None:
    model = copy.deepcopy(estimator).fit(MATRIX, labels)
    answers = StaticSklearn(model, NAMES).predict_many(ROWS)
    assert [answer["prediction"] for answer in answers] == model.predict(MATRIX).tolist()
    if hasattr(model, "predict_proba"):
        classes = model.classes_.tolist()
        expected = [
            dict(zip(classes, row, strict=True)) for row in model.predict_proba(MATRIX).tolist()
        ]
        assert [answer["probabilities"] for answer in answers] == expected
    else:
        assert all("probabilities" not in answer for answer in answers)
    orjson.dumps(answers, option=orjson.OPT_NON_STR_KEYS)


def test_a_label_can_differ_from_the_most_probable_one() -> None:
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.95).fit(MATRIX, LABELS)
    answers = StaticSklearn(model, NAMES).predict_many(ROWS)
    assert any(
        answer["prediction"] != max(answer["probabilities"], key=answer["probabilities"].get)
        for answer in answers
    )


def test_one_row_is_answered_as_in_a_batch() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, LABELS)
    learner = StaticSklearn(model, NAMES)
    assert learner.traits.batched
    assert not learner.traits.learns
    answers = learner.predict_many(ROWS[:5])
    for row, answer in zip(ROWS, answers, strict=False):
        one = learner.predict(row)
        assert one["prediction"] == answer["prediction"]
        assert one["probabilities"] == pytest.approx(answer["probabilities"])


def test_regressors_answer_numbers() -> None:
    rows = [features for features, _ in TRUMP]
    matrix = np.array([list(row.values()) for row in rows])
    for estimator in (LinearRegression(), RandomForestRegressor(5, random_state=1)):
        model = estimator.fit(matrix, [label for _, label in TRUMP])
        learner = StaticSklearn(model, tuple(rows[0]))
        assert learner.traits.kind == "regressor"
        answers = learner.predict_many(rows)
        assert answers == [{"prediction": value} for value in model.predict(matrix).tolist()]
        assert type(answers[0]["prediction"]) is float


@pytest.mark.parametrize(
    "estimator",
    [
        IsolationForest(random_state=1),
        OneClassSVM(),
        LocalOutlierFactor(novelty=True),
        make_pipeline(StandardScaler(), IsolationForest(random_state=1)),
    ],
    ids=str,
)
def test_outliers_have_the_higher_scores(estimator: Any) -> None:
    learner = StaticSklearn(copy.deepcopy(estimator).fit(MATRIX), NAMES)
    assert learner.traits.kind == "anomaly"
    answers = learner.predict_many([*ROWS, dict.fromkeys(NAMES, 50.0)])
    verdicts = [answer["prediction"] for answer in answers]
    assert set(verdicts) == {True, False}
    scores = {
        verdict: [answer["score"] for answer in answers if answer["prediction"] is verdict]
        for verdict in (True, False)
    }
    assert min(scores[True]) >= max(scores[False])


def test_clusterers_answer_the_number_of_a_cluster() -> None:
    for model in (
        KMeans(3, random_state=1).fit(MATRIX),
        make_pipeline(StandardScaler(), MiniBatchKMeans(3, random_state=1)).fit(MATRIX),
    ):
        learner = StaticSklearn(model, NAMES)
        assert learner.traits.kind == "clusterer"
        answers = learner.predict_many(ROWS)
        assert answers == [{"prediction": number} for number in model.predict(MATRIX).tolist()]
        assert type(answers[0]["prediction"]) is int


def frame_fitted(estimator: Any) -> Any:
    """Fit as with a data frame, without needing one: names are all that it leaves behind."""
    estimator.fit(MATRIX, LABELS)
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    first.feature_names_in_ = np.array(NAMES, dtype=object)
    return estimator


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["bare", "pipeline"],
)
def test_a_model_fitted_on_names_picks_its_features_by_name_without_a_warning(
    estimator: Any,
) -> None:
    model = frame_fitted(estimator)
    learner = StaticSklearn(model)
    assert learner.traits.feature_names == NAMES
    assert learner.traits.feature_count == len(NAMES)
    other_order = [dict(reversed(row.items())) | {"unknown": 1.0} for row in ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = learner.predict_many(other_order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [answer["prediction"] for answer in answers] == model.predict(MATRIX).tolist()


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (NAMES[:-1], f"the model needs {NAMES[-1]}"),
        ((*NAMES, "extra"), "the model does not know extra"),
        ((*NAMES[:-1], "other"), f"the model needs {NAMES[-1]}; the model does not know other"),
        ((NAMES[1], NAMES[0], *NAMES[2:]), "in another order"),
    ],
)
def test_features_that_differ_from_those_it_was_fitted_on_are_named(
    names: tuple[str, ...], difference: str
) -> None:
    with pytest.raises(SettingsError, match=r"^events\.features: ") as refusal:
        StaticSklearn(frame_fitted(LogisticRegression()), names)
    assert difference in str(refusal.value)


def test_a_model_fitted_without_names_needs_the_right_number_of_them() -> None:
    model = LogisticRegression().fit(MATRIX, LABELS)
    with pytest.raises(SettingsError, match="2 are listed, but the model was fitted on 9"):
        StaticSklearn(model, ("a", "b"))
    with pytest.raises(SettingsError, match="list the features in their order"):
        StaticSklearn(model)


def test_one_feature_is_enough() -> None:
    model = LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])
    assert StaticSklearn(model, ("a",)).predict({"a": 4})["prediction"] == pytest.approx(8.0)


class NeedsAFrame(LinearRegression):
    """Needs a data frame, as a transformer of columns by name does."""

    def predict(self, matrix: Any) -> Any:
        return super().predict(matrix[["a"]])


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (LogisticRegression(), "LogisticRegression is not fitted"),
        (StandardScaler().fit(MATRIX), "has no predict"),
        (DBSCAN().fit(MATRIX), "has no predict"),
        (LocalOutlierFactor().fit(MATRIX), "has no predict"),
        (LinearRegression().fit(MATRIX, np.c_[LABELS, LABELS]), "several targets"),
        (NeedsAFrame().fit(MATRIX, LABELS), "cannot predict from a matrix of numbers"),
    ],
    ids=lambda value: str(value).replace("\n", "")[:40],
)
def test_an_estimator_that_cannot_answer_is_refused_in_one_sentence(
    estimator: Any, why: str
) -> None:
    with pytest.raises(SettingsError, match=r"^model: ") as refusal:
        StaticSklearn(estimator, NAMES)
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_columns_can_be_transformed_by_position() -> None:
    first_column = ColumnTransformer([("first", StandardScaler(), [0])])
    model = make_pipeline(first_column, LogisticRegression()).fit(MATRIX, LABELS)
    answers = StaticSklearn(model, NAMES).predict_many(ROWS)
    assert [answer["prediction"] for answer in answers] == model.predict(MATRIX).tolist()


def test_a_static_model_never_changes() -> None:
    learner = StaticSklearn(RandomForestClassifier(5, random_state=1).fit(MATRIX, LABELS), NAMES)
    before = learner.digest()
    learner.predict_many(ROWS)
    assert learner.digest() == before
    with pytest.raises(TypeError, match="does not learn"):
        learner.learn(ROWS[0], label=True)
