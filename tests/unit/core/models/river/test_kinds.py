"""River models as learners: what they answer and learn is what bare River answers and learns."""

import contextlib
import copy
import importlib
import inspect
import itertools
import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from river import base, cluster, datasets, evaluate, facto, metrics
from river.checks.utils import seed_params

from millstream.core.models.interface.answers import answer_is_finite
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.reproducibility import hash_ordered, unseeded
from millstream.core.models.river.classify import river_kind
from millstream.core.models.river.expression import MODULES, build
from millstream.core.models.river.kinds import RiverLearner, river_learner
from millstream.core.models.river.traits import detect_traits
from millstream.errors import SettingsError

SCALED = (
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.005))"
)
ROWS = 60


def instances() -> Iterator[tuple[str, Any]]:
    """Every estimator of River that its own tests can make, seeded."""
    seen: set[type] = set()
    for module in sorted(MODULES):
        for name, kind in sorted(vars(importlib.import_module(f"river.{module}")).items()):
            if not inspect.isclass(kind) or not issubclass(kind, base.Estimator) or kind in seen:
                continue
            seen.add(kind)
            try:
                for number, parameters in enumerate(kind._unit_test_params()):
                    model = kind(**parameters)
                    yield (
                        f"{module}.{name}-{number}",
                        model.clone(seed_params(model._get_params(), 42)),
                    )
            except (TypeError, NotImplementedError, RuntimeError):
                continue  # abstract, or River gives no parameters to test it with


def usable() -> Iterator[Any]:
    for name, model in instances():
        try:
            detect_traits(model, None)
        except SettingsError:
            continue
        yield pytest.param(model, id=name)


def rows_for(model: Any) -> list[tuple[dict[str, Any], Any]]:
    if isinstance(model, base.Regressor):
        return list(datasets.TrumpApproval().take(ROWS))
    return list(datasets.Phishing().take(ROWS))


def learner_for(model: Any, **options: Any) -> RiverLearner:
    traits = detect_traits(model, None)
    return river_learner(
        model,
        probabilities=traits.probabilities,
        predict_changes_state=traits.predict_changes_state,
        **options,
    )


def bare_answer(model: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Answer as a River user would, one method after the other."""
    if isinstance(model, base.AnomalyDetector | base.AnomalyFilter):
        score = model.score_one(features)
        is_filter = isinstance(model, base.AnomalyFilter)
        return {"prediction": model.classify(score) if is_filter else None, "score": score}
    answer = {"prediction": model.predict_one(features)}
    if isinstance(model, base.Classifier):
        with contextlib.suppress(NotImplementedError):
            answer["probabilities"] = model.predict_proba_one(features)
    return answer


def same(one: Any, other: Any) -> bool:
    return digest(one) == digest(other)


USABLE = list(usable())
REPEATABLE = [
    parameter
    for parameter in USABLE
    # TextClust wants a time with each text; some have a seed that River's tests cannot set.
    if not isinstance(parameter.values[0], cluster.TextClust) and not unseeded(parameter.values[0])
]
FOR_LATE_LABELS = [
    parameter
    for parameter in REPEATABLE
    if parameter.values[0]._supervised
    and not detect_traits(parameter.values[0], None).predict_changes_state
]


def test_most_of_river_is_usable() -> None:
    assert len(USABLE) > 80
    assert len(REPEATABLE) > 75
    assert len(FOR_LATE_LABELS) > 55


@pytest.mark.parametrize("model", REPEATABLE)
@pytest.mark.filterwarnings("ignore")
def test_a_learner_answers_and_learns_as_bare_river(model: Any) -> None:
    bare = model.clone()
    learner = learner_for(model.clone())
    for features, label in rows_for(model):
        if not (isinstance(model, cluster.STREAMKMeans) and not bare.centers):
            expected = bare_answer(bare, dict(features))
            answer = learner.predict(dict(features))
            plain = orjson.loads(orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS))
            assert plain.keys() == expected.keys()
            assert answer == expected or not answer_is_finite(answer)
        bare.learn_one(*((features, label) if bare._supervised else (features,)))
        learner.learn(features, label)
    assert learner.digest() == digest(bare)


@pytest.mark.parametrize("model", FOR_LATE_LABELS)
@pytest.mark.filterwarnings("ignore")
def test_learning_alone_restores_what_predicting_and_learning_made(model: Any) -> None:
    live, restored = (learner_for(model.clone(), warmup_model=model.clone()) for _ in range(2))
    rows = rows_for(model)
    late = 7
    for i, (features, _) in enumerate(rows):
        live.predict(features)
        if i >= late:
            live.learn(*rows[i - late])
            restored.learn(*rows[i - late])
    assert live.digest() == restored.digest()


@pytest.mark.parametrize(
    ("text", "metric", "expected"),
    [
        (SCALED, metrics.Accuracy(), 0.8872),
        (SCALED, metrics.F1(), 0.871233),
        ("naive_bayes.GaussianNB()", metrics.Accuracy(), 0.884708),
        ("tree.HoeffdingTreeClassifier()", metrics.F1(), 0.860595),
        (
            "ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=42)",
            metrics.Accuracy(),
            0.893515,
        ),
    ],
)
def test_progressive_validation_comes_out_to_the_last_digit(
    text: str, metric: Any, expected: float
) -> None:
    by_river = evaluate.progressive_val_score(datasets.Phishing(), build(text), metric.clone())
    learner = learner_for(build(text))
    for features, label in datasets.Phishing():
        prediction = learner.predict(features)["prediction"]
        if prediction is not None:
            metric.update(label, prediction)
        learner.learn(features, label)
    assert metric.get() == by_river.get()
    assert round(metric.get(), 6) == pytest.approx(expected, abs=5e-5)


def test_a_multiclass_model_knows_labels_of_any_kind() -> None:
    learner = learner_for(build("preprocessing.StandardScaler() | naive_bayes.GaussianNB()"))
    assert not learner.traits.binary
    assert learner.predict({"a": 1.0}) == {"prediction": None, "probabilities": {}}
    right = 0
    for features, label in datasets.ImageSegments().take(400):
        right += learner.predict(features)["prediction"] == label
        learner.learn(features, label)
    assert right > 250


def test_kinds_and_flags() -> None:
    traits = learner_for(build(SCALED)).traits
    assert (traits.kind, traits.supervised, traits.binary) == ("classifier", True, True)
    assert (traits.batched, traits.learns, traits.numeric_only) == (False, True, False)
    detector = learner_for(build("preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)"))
    assert (detector.traits.kind, detector.traits.supervised) == ("anomaly", False)
    assert learner_for(build("cluster.DenStream()")).traits.kind == "clusterer"
    assert learner_for(build("linear_model.LinearRegression()")).kind == "regressor"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("preprocessing.StandardScaler()", "only transforms features"),
        ("preprocessing.StandardScaler() | preprocessing.Normalizer()", "only transforms features"),
        ("linear_model.Perceptron() | linear_model.Perceptron()", "has to be the last step"),
        ("multioutput.RegressorChain(linear_model.LinearRegression())", "several targets"),
        ("tree.iSOUPTreeRegressor()", "several targets"),
        ("time_series.HoltWinters(alpha=0.3)", "forecasts a time series"),
        ("reco.BiasedMF()", "recommends items"),
        ("active.EntropySampler(linear_model.Perceptron())", "active learning"),
        ("anomaly.GaussianScorer()", "scores a label"),
        ("anomaly.ThresholdFilter(anomaly.GaussianScorer(), threshold=0.9)", "scores a label"),
        ("cluster.ODAC()", "makes no predictions"),
        ("neighbors.SWINN()", "neither classifier"),
        ("compose.Pipeline()", "has no steps"),
    ],
)
def test_a_model_that_cannot_work_on_events_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=r"^model: ") as refusal:
        detect_traits(build(text.replace("iSOUP", "ISOUP")), None)
    assert why in str(refusal.value)


def test_an_object_that_is_no_river_model_is_refused() -> None:
    with pytest.raises(SettingsError, match="list is not a River model"):
        river_kind([])


def test_a_filter_says_what_is_an_anomaly() -> None:
    text = (
        "preprocessing.MinMaxScaler() | "
        "anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=42, window_size=50), q=0.9)"
    )
    learner, bare = learner_for(build(text)), build(text)
    verdicts = []
    for features, _ in datasets.Phishing().take(300):
        answer = learner.predict(features)
        score = bare.score_one(features)
        assert answer == {"prediction": bare["QuantileFilter"].classify(score), "score": score}
        verdicts.append(answer["prediction"])
        learner.learn(features, None)
        bare.learn_one(features)
    assert {True, False} == set(verdicts)


def test_a_filter_inside_a_pipeline_keeps_anomalies_from_the_model() -> None:
    text = (
        "preprocessing.MinMaxScaler() | anomaly.QuantileFilter("
        "anomaly.HalfSpaceTrees(3, 4, window_size=20, seed=42), q=0.8) | naive_bayes.GaussianNB()"
    )
    bare, learner, transformed = build(text), learner_for(build(text)), learner_for(build(text))
    for features, label in datasets.Phishing().take(200):
        bare.learn_one(features, label)
        learner.learn(features, label)
        transformed.learn_transformed(features, _transformed_by_river(transformed, features), label)
    assert learner.digest() == digest(bare)
    assert transformed.digest() == digest(bare)
    assert sum(bare["GaussianNB"].class_counts.values()) < 200


def _transformed_by_river(learner: RiverLearner, features: dict[str, Any]) -> dict[str, Any]:
    """Find what the last step would learn from, were the example learned now as usual."""
    model = copy.deepcopy(learner.model)
    seen: list[dict[str, Any]] = []
    final = list(model.steps.values())[-1]
    final.learn_one = lambda x, *_, **__: seen.append(x)
    model.learn_one(features, y=True)
    return seen[0] if seen else {}


@pytest.mark.parametrize(
    "text",
    [
        SCALED,
        (
            "(preprocessing.StandardScaler() + (preprocessing.RobustScaler() | "
            "compose.Prefixer('robust '))) | linear_model.LogisticRegression()"
        ),
        (
            "feature_extraction.TargetAgg(by='long_url', how=stats.Mean()) | "
            "linear_model.LogisticRegression()"
        ),
        (
            "(feature_extraction.TargetAgg(by='long_url', how=stats.Mean()) + "
            "preprocessing.StandardScaler()) | naive_bayes.GaussianNB()"
        ),
        "feature_selection.SelectKBest(stats.PearsonCorr(), k=3) | naive_bayes.GaussianNB()",
        (
            "compose.TransformerProduct(preprocessing.StandardScaler(), "
            "preprocessing.MinMaxScaler()) | naive_bayes.GaussianNB()"
        ),
    ],
)
def test_learning_what_was_transformed_just_now_is_ordinary_learning(text: str) -> None:
    bare, learner = build(text), learner_for(build(text))
    for features, label in datasets.Phishing().take(100):
        transformed = _transformed_by_river(learner, features)
        bare.learn_one(features, label)
        learner.learn_transformed(features, transformed, label)
    assert learner.digest() == digest(bare)


def test_a_late_label_learns_the_features_as_they_were_transformed_then() -> None:
    learner = learner_for(build(SCALED))
    rows = list(datasets.Phishing().take(50))
    for features, label in rows:
        learner.learn(features, label)
    before = learner.digest()
    kept = learner.transform(rows[0][0])
    assert learner.digest() == before
    assert kept == learner.model["StandardScaler"].transform_one(rows[0][0])
    for features, label in rows:
        learner.learn(features, label)
    now = learner_for(copy.deepcopy(learner.model))
    learner.learn_transformed(rows[0][0], kept, rows[0][1])
    now.learn(*rows[0])
    scaler, other_scaler = learner.model["StandardScaler"], now.model["StandardScaler"]
    assert same(scaler, other_scaler)
    assert learner.digest() != now.digest()


def test_a_bare_model_transforms_nothing() -> None:
    learner, plain = (
        learner_for(build("naive_bayes.GaussianNB()")),
        build("naive_bayes.GaussianNB()"),
    )
    for features, label in datasets.Phishing().take(20):
        assert learner.transform(features) == features
        learner.learn_transformed(features, learner.transform(features), label)
        plain.learn_one(features, label)
    assert learner.digest() == digest(plain)


def test_features_named_by_something_but_text_cannot_be_kept() -> None:
    learner = learner_for(
        build("feature_extraction.RBFSampler(seed=1) | linear_model.LogisticRegression()")
    )
    with pytest.raises(TypeError, match="something but text"):
        learner.transform({"a": 1.0})


@pytest.mark.parametrize(
    "model",
    [
        cluster.DBSTREAM(),
        facto.FMClassifier(seed=42),
        build(
            "model_selection.BanditClassifier([linear_model.Perceptron(), "
            "naive_bayes.GaussianNB()], metric=metrics.Accuracy(), "
            "policy=bandit.EpsilonGreedy(epsilon=0.1, seed=1))"
        ),
        build("feature_extraction.RBFSampler(seed=1) | linear_model.LogisticRegression()"),
    ],
    ids=lambda model: str(model)[:30],
)
def test_models_that_change_when_they_predict_are_found(model: Any) -> None:
    before = digest(model)
    assert detect_traits(model, None).predict_changes_state
    assert digest(model) == before


@pytest.mark.parametrize(
    "text",
    [
        SCALED,
        "naive_bayes.GaussianNB()",
        "forest.ARFClassifier(seed=42, n_models=2)",
        "linear_model.BayesianLinearRegression()",
        "ensemble.AdaBoostClassifier(tree.HoeffdingTreeClassifier(), n_models=2, seed=1)",
    ],
)
def test_models_that_only_set_themselves_up_at_the_first_call_are_not_refused(text: str) -> None:
    assert not detect_traits(build(text), ("a", "b")).predict_changes_state


def test_what_was_predicted_before_the_first_example_leaves_no_trace() -> None:
    model = "forest.ARFClassifier(seed=42, n_models=2)"
    asked, fresh = (learner_for(build(model), warmup_model=build(model)) for _ in range(2))
    asked.predict({"only": 1.0})
    assert asked.digest() == fresh.digest()
    for features, label in datasets.Phishing().take(30):
        asked.learn(features, label)
        fresh.learn(features, label)
    assert asked.digest() == fresh.digest()


def test_a_model_that_does_not_learn_answers_by_the_weights_it_has() -> None:
    model = build(SCALED)
    for features, label in datasets.Phishing().take(100):
        model.learn_one(features, label)
    features, _ = next(iter(datasets.Phishing()))
    assert river_learner(model, learns=False).predict(features)["probabilities"] == (
        model.predict_proba_one(features)
    )


def test_many_rows_are_answered_like_each_of_them() -> None:
    learner = learner_for(build(SCALED))
    rows = [features for features, _ in datasets.Phishing().take(5)]
    assert learner.predict_many(rows) == [learner.predict(row) for row in rows]


@pytest.mark.parametrize(
    ("answer", "finite"),
    [
        ({"prediction": None}, True),
        ({"prediction": None, "probabilities": {}}, True),
        ({"prediction": True, "probabilities": {True: 0.7, False: 0.3}}, True),
        ({"prediction": True, "probabilities": {True: math.nan, False: 0.3}}, False),
        ({"prediction": True, "probabilities": {True: math.inf, False: -math.inf}}, False),
        ({"prediction": 1.5}, True),
        ({"prediction": 10**400}, True),
        ({"prediction": "spam"}, True),
        ({"prediction": math.inf}, False),
        ({"prediction": math.nan}, False),
        ({"prediction": 1 + 2j}, False),
        ({"prediction": None, "score": 0}, True),
        ({"prediction": None, "score": math.nan}, False),
        ({"prediction": True, "score": math.inf}, False),
    ],
    ids=str,
)
def test_an_answer_is_finite_only_if_all_its_numbers_are(
    answer: dict[str, Any], *, finite: bool
) -> None:
    assert answer_is_finite(answer) is finite


def test_unseeded_parts_are_named() -> None:
    assert unseeded(build(SCALED)) == []
    assert unseeded(build("forest.ARFClassifier()")) == ["ARFClassifier"]
    assert unseeded(build("forest.ARFClassifier(seed=42)")) == []
    assert unseeded(build("neighbors.KNNClassifier()")) == ["SWINN"]
    assert unseeded(
        build(
            "preprocessing.FeatureHasher() | ensemble.VotingClassifier(["
            "naive_bayes.GaussianNB(), tree.HoeffdingAdaptiveTreeClassifier()])"
        )
    ) == ["FeatureHasher", "HoeffdingAdaptiveTreeClassifier"]
    assert hash_ordered(build("preprocessing.StandardScaler() | cluster.KMeans(seed=1)")) == [
        "KMeans"
    ]
    assert hash_ordered(build(SCALED)) == []
    several = "compose.Select('a', 'b') | linear_model.LogisticRegression()"
    assert hash_ordered(build(several)) == ["Select"], "it goes through a set of names"
    assert hash_ordered(build("compose.Select('a') | linear_model.LogisticRegression()")) == []


@pytest.mark.parametrize("model", REPEATABLE)
@pytest.mark.filterwarnings("ignore")
def test_a_model_with_nothing_unseeded_learns_the_same_twice(model: Any) -> None:
    twins = [model.clone(), model.clone()]
    for features, label in itertools.islice(rows_for(model), 30):
        for twin in twins:
            twin.learn_one(*((features, label) if twin._supervised else (features,)))
    assert same(*twins)
