"""The learners of River models: one class for each kind of answer."""

from math import isfinite
from typing import Any

from river import base
from river.cluster import STREAMKMeans, TextClust

from millstream.core.models.interface.answers import is_finite_number, plain, plain_probabilities
from millstream.core.models.interface.learner import Answer, Features
from millstream.core.models.interface.traits import Kind
from millstream.core.models.river.classify import last_step, river_kind
from millstream.core.models.river.learner import RiverLearner
from millstream.errors import DeadLetter

_EMPTY_UNTIL_READY: dict[Any, str] = {STREAMKMeans: "centers", TextClust: "micro_clusters"}
"""Clusterers that raise an error while they have no cluster, and the attribute that holds those."""


class RiverClassifier(RiverLearner):
    """A classifier whose label is the most probable one, the first of equals."""

    kind = "classifier"
    finite = True

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_proba_one = self._answering(model, "predict_proba_one")

    def predict(self, features: Features) -> Answer:
        """Answer one event by one call."""
        probabilities = self._predict_proba_one(features)
        if not probabilities:
            return {"prediction": None, "probabilities": {}}
        # A sum is NaN or infinite if one of its parts is, and probabilities cannot overflow it.
        total = sum(probabilities.values())
        if type(total) is not float:  # NumPy's numbers make a NumPy sum
            probabilities = plain_probabilities(probabilities)
            total = sum(probabilities.values())
            if not is_finite_number(total):
                raise DeadLetter("not_finite")
        elif not isfinite(total):
            raise DeadLetter("not_finite")
        return {
            "prediction": max(probabilities, key=probabilities.get),
            "probabilities": probabilities,
        }


class RiverLabeller(RiverLearner):
    """A classifier that finds its label in a way of its own, with or without probabilities."""

    kind = "classifier"

    def __init__(self, model: Any, *, probabilities: bool, **options: Any) -> None:
        self._has_probabilities = probabilities
        super().__init__(model, **options)

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = self._answering(model, "predict_one")
        self._predict_proba_one = self._answering(model, "predict_proba_one")

    def predict(self, features: Features) -> Answer:
        """Answer one event, the label by one call and the probabilities by another."""
        answer: Answer = {"prediction": plain(self._predict_one(features))}
        if self._has_probabilities:
            answer["probabilities"] = plain_probabilities(self._predict_proba_one(features) or {})
        return answer


class RiverRegressor(RiverLearner):
    """A model that predicts a number."""

    kind = "regressor"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = self._answering(model, "predict_one")

    def predict(self, features: Features) -> Answer:
        """Answer one event with a number."""
        number = self._predict_one(features)
        return {"prediction": number if type(number) is float else plain(number)}


class RiverAnomalyDetector(RiverLearner):
    """A model that scores events; a filter also says which scores are anomalies."""

    kind = "anomaly"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._score_one = self._answering(model, "score_one")
        final = last_step(model)
        self._classify = final.classify if isinstance(final, base.AnomalyFilter) else None

    def predict(self, features: Features) -> Answer:
        """Answer one event with its score, and a filter's verdict on it."""
        score = self._score_one(features)
        verdict = None if self._classify is None else bool(self._classify(score))
        return {"prediction": verdict, "score": plain(score)}


class RiverClusterer(RiverLearner):
    """A model that finds the cluster that an event belongs to."""

    kind = "clusterer"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = self._answering(model, "predict_one")
        self._final = last_step(model)
        self._clusters = _EMPTY_UNTIL_READY.get(type(self._final))

    def predict(self, features: Features) -> Answer:
        """Answer one event with its cluster; None while there is no cluster yet."""
        if self._clusters is not None and not getattr(self._final, self._clusters):
            return {"prediction": None}
        return {"prediction": plain(self._predict_one(features))}


_LEARNERS: dict[Kind, type[RiverLearner]] = {
    "classifier": RiverClassifier,
    "regressor": RiverRegressor,
    "anomaly": RiverAnomalyDetector,
    "clusterer": RiverClusterer,
}


def river_learner(
    model: Any,
    *,
    warmup_model: Any | None = None,
    learns: bool = True,
    predict_changes_state: bool = False,
    probabilities: bool = True,
) -> RiverLearner:
    """Make the learner of a River model; `detect_traits` finds out the other arguments.

    `warmup_model` is a second, equal model, to predict by until the first example is learned; give
    one where labels are delayed. Build it rather than copy it: copying makes a model slower for
    good (by about a tenth for a linear one), since CPython stores the attributes of an object
    differently once its `__dict__` was read, as copying, pickling and `digest` do.

    Raises SettingsError for a model that cannot work on events.
    """
    kind = river_kind(model)
    options: dict[str, Any] = {
        "warmup_model": warmup_model,
        "learns": learns,
        "predict_changes_state": predict_changes_state,
    }
    if kind == "classifier" and not (
        probabilities and type(last_step(model)).predict_one is base.Classifier.predict_one
    ):
        return RiverLabeller(model, probabilities=probabilities, **options)
    return _LEARNERS[kind](model, **options)
