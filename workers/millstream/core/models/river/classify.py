"""Classifies River models by their last step."""

from typing import Any

from river import base
from river.active.base import ActiveLearningClassifier
from river.bandit.base import Policy
from river.compose import Pipeline
from river.reco.base import Ranker
from river.time_series.base import Forecaster

from millstream.core.models.interface.traits import Kind
from millstream.errors import SettingsError

_REFUSED: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((base.MultiLabelClassifier, base.MultiTargetRegressor), "has several targets per event"),
    (ActiveLearningClassifier, "asks for labels (active learning); use the classifier inside it"),
    (base.SupervisedAnomalyDetector, "scores a label, which is not known when an event comes"),
    (Forecaster, "forecasts a time series"),
    (Ranker, "recommends items to users"),
    (Policy, "is a bandit policy; use it inside model_selection.BanditClassifier"),
    (base.DriftDetector, "detects drift; use it inside a model"),
    (base.BaseTransformer, "only transforms features; add a model after it"),
)
_KINDS: tuple[tuple[tuple[type, ...], Kind], ...] = (
    ((base.Classifier,), "classifier"),
    ((base.Regressor,), "regressor"),
    ((base.AnomalyDetector, base.AnomalyFilter), "anomaly"),
    ((base.Clusterer,), "clusterer"),
)


def last_step(model: Any) -> Any:
    """Find the step of a pipeline that answers; a bare model is its own."""
    while isinstance(model, Pipeline):
        model = list(model.steps.values())[-1]
    return model


def first_steps(model: Any) -> list[Any]:
    """List the steps of a pipeline before its last one; none for a bare model."""
    return list(model.steps.values())[:-1] if isinstance(model, Pipeline) else []


def river_kind(model: Any) -> Kind:
    """Tell the kind of a River model.

    Raises SettingsError for one that cannot work on events.
    """
    if isinstance(model, Pipeline) and not model.steps:
        raise SettingsError("model: the pipeline has no steps")
    for step in first_steps(model):
        if not isinstance(last_step(step), base.BaseTransformer | base.AnomalyFilter):
            raise SettingsError(
                f"model: {type(step).__name__} has to be the last step of its pipeline"
            )
    final = last_step(model)
    name = type(final).__name__
    for types, why in _REFUSED:
        if isinstance(final, types):
            raise SettingsError(f"model: {name} cannot answer events by itself: it {why}")
    if isinstance(final, base.AnomalyFilter) and final._supervised:
        raise SettingsError(
            f"model: {name} filters by a supervised detector, which scores a label that is not "
            "known when an event comes"
        )
    if not isinstance(final, base.Estimator):
        raise SettingsError(f"model: {name} is not a River model")
    for kinds, kind in _KINDS:
        if isinstance(final, kinds):
            return kind
    raise SettingsError(
        f"model: {name} is neither classifier, regressor, anomaly detector nor clusterer"
    )
