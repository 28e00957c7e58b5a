"""The steps of a pipeline are called directly, which may change nothing."""

from typing import Any

import pytest
from river import anomaly, compose, datasets, linear_model, naive_bayes, optim, preprocessing, stats
from river import feature_extraction as fx

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river_fastpath import pipeline

PIPELINES: dict[str, Any] = {
    "no transformer": linear_model.LogisticRegression,
    "one": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "only a model in a pipeline": lambda: compose.Pipeline(naive_bayes.GaussianNB()),
    "three": lambda: (
        preprocessing.MinMaxScaler()
        | preprocessing.StandardScaler()
        | fx.PolynomialExtender()
        | linear_model.LogisticRegression(optimizer=optim.Adam())
    ),
    "a union": lambda: (
        (preprocessing.StandardScaler() + fx.PolynomialExtender())
        | linear_model.LogisticRegression()
    ),
    "a transformer that learns from labels": lambda: (
        fx.TargetAgg(by=["long_url"], how=stats.Mean()) | naive_bayes.GaussianNB()
    ),
    "a filter": lambda: (
        preprocessing.StandardScaler()
        | anomaly.QuantileFilter(anomaly.OneClassSVM(nu=0.2), q=0.9)
        | linear_model.LogisticRegression()
    ),
    "a pipeline in a pipeline": lambda: (
        preprocessing.StandardScaler()
        | compose.Pipeline(preprocessing.MinMaxScaler(), linear_model.LogisticRegression())
    ),
}


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
def test_answers_and_weights_are_those_of_the_pipeline_itself(make: Any) -> None:
    own, ours = make(), make()
    answer = pipeline.answering(ours, "predict_proba_one")
    learn = pipeline.learning(ours)
    for features, label in datasets.Phishing().take(300):
        assert repr(answer(features)) == repr(own.predict_proba_one(features))  # NaN is NaN
        learn(features, label)
        own.learn_one(features, label)
    assert digest(ours) == digest(own)


def test_an_unsupervised_pipeline_is_not_shown_the_label() -> None:
    def make() -> Any:
        return preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)

    own, ours = make(), make()
    answer = pipeline.answering(ours, "score_one")
    learn = pipeline.learning(ours)
    for features, label in datasets.Phishing().take(300):
        assert answer(features) == own.score_one(features)
        learn(features, label)
        own.learn_one(features)
    assert digest(ours) == digest(own)
