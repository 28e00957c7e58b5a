"""River models as learners: one small class per kind of model.

The methods that run for each event call River's own methods, bound once, and nothing else, so that
answers and weights are those of River's `progressive_val_score` to the last bit.

Some models set themselves up at the first call (forests learn which features there are), be it a
prediction. Where labels come late, what is learned may not depend on that, since a restore replays
learning alone. There a model that has learned nothing yet predicts by a spare one, which the first
example discards.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from river import base
from river.cluster import STREAMKMeans, TextClust
from river.compose import Pipeline, TransformerUnion

from millstream.core.digest import digest
from millstream.core.models.answers import is_finite_number, plain, plain_probabilities
from millstream.core.models.learner import Answer, Features, Kind, Label
from millstream.core.models.river_calls import answering, learning
from millstream.core.models.river_kind import first_steps, last_step, river_kind
from millstream.errors import DeadLetter

_EMPTY_UNTIL_READY: dict[Any, str] = {STREAMKMeans: "centers", TextClust: "micro_clusters"}
"""Clusterers that raise an error before they know a cluster, and where they keep them."""


class RiverLearner:
    """What River models of every kind have in common; see `Learner` for the meaning of it all."""

    kind: Kind
    batched = False
    finite = False
    feature_names: tuple[str, ...] | None = None
    feature_count: int | None = None
    made: str | None = None
    numeric_only = False

    def __init__(
        self,
        model: Any,
        *,
        spare: Any | None = None,
        learns: bool = True,
        predict_changes_state: bool = False,
    ) -> None:
        self.model = model
        self.learns = learns
        self.predict_changes_state = predict_changes_state
        self.supervised = bool(model._supervised)
        self.binary = self.kind == "classifier" and not model._multiclass
        self._learn_by(model)
        self._untaught = spare is not None
        self._predict_by(model if spare is None else spare)

    def __deepcopy__(self, memo: Any) -> Self:
        """Refuse: what is bound to the model would be bound to the old one still."""
        raise TypeError(
            "a learner cannot be copied: copy its model, and make another learner of it"
        )

    def _learn_by(self, model: Any) -> None:
        """Bind the method that learns to that of `model`."""
        self._learn_one = learning(model)

    def _predict_by(self, model: Any) -> None:
        """Bind the methods that answer to those of `model`."""
        self._transform_one: Callable[[Any], dict[Any, Any]] = (
            model.transform_one if isinstance(model, Pipeline) else dict
        )

    def _be_taught(self) -> None:
        self._untaught = False
        self._predict_by(self.model)

    @property
    def untaught(self) -> bool:
        """Whether it still predicts by the spare model."""
        return self._untaught

    def replace_model(self, model: Any, *, untaught: bool) -> None:
        """Go on with `model`, and with the spare one if that has not learned anything either."""
        self.model = model
        self._learn_by(model)
        if not (self._untaught and untaught):
            self._be_taught()

    def predict(self, features: Features) -> Answer:
        """Answer one event."""
        raise NotImplementedError

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row in turn."""
        return [self.predict(features) for features in rows]

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example."""
        if self._untaught:
            self._be_taught()
        self._learn_one(features, label)

    def transform(self, features: Features) -> dict[str, Any]:
        """Run the steps before the last one, without changing them.

        Raises TypeError where they make names that are not text: JSON could not keep those.
        """
        transformed: dict[Any, Any] = self._transform_one(features)
        if not all(type(name) is str for name in transformed):
            raise TypeError("the pipeline's transformers name features by something but text")
        return {name: plain(value) for name, value in transformed.items()}

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """Learn as River's `Pipeline.learn_one`, but with `transformed` in the last step."""
        if self._untaught:
            self._be_taught()
        if not isinstance(self.model, Pipeline):
            self._learn_one(transformed, label)
        elif _learn_first_steps(self.model, features, label):
            *_, final = self.model.steps.values()
            _learn_step(final, transformed, label)

    def digest(self) -> str:
        """Digest of the model's state."""
        return digest(self.model)


def _learn_step(step: Any, features: Any, label: Label | None) -> None:
    if step._supervised:
        step.learn_one(features, label)
    else:
        step.learn_one(features)


def _learn_first_steps(pipeline: Pipeline, features: Any, label: Label | None) -> bool:
    """Teach the steps before the last one; False if one filtered the example out as an anomaly.

    The order is River's: an unsupervised step learns before it transforms, a supervised one
    afterwards, so that its output does not know the label.
    """
    for step in first_steps(pipeline):
        if isinstance(step, base.AnomalyFilter):
            _learn_step(step, features, label)
            scored = (features, label) if step._supervised else (features,)
            if step.classify(step.score_one(*scored)):
                return False
        elif not isinstance(step, base.Transformer):  # River learns it and transforms nothing
            _learn_step(step, features, label)
        else:
            parts = step.transformers.values() if isinstance(step, TransformerUnion) else [step]
            supervised: list[Any] = [part for part in parts if part._supervised]
            for part in parts:
                if not part._supervised:
                    part.learn_one(features)
            before, features = features, step.transform_one(features)
            for part in supervised:
                part.learn_one(before, label)
    return True


class RiverClassifier(RiverLearner):
    """A classifier whose label is the most probable one, the first of equals."""

    kind: Kind = "classifier"
    finite = True

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_proba_one = answering(model, "predict_proba_one")

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
        return {
            "prediction": max(probabilities, key=probabilities.get),
            "probabilities": probabilities,
        }


class RiverLabeller(RiverLearner):
    """A classifier that finds its label in a way of its own, with or without probabilities."""

    kind: Kind = "classifier"

    def __init__(self, model: Any, *, probabilities: bool, **options: Any) -> None:
        self._has_probabilities = probabilities
        super().__init__(model, **options)

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = answering(model, "predict_one")
        self._predict_proba_one = answering(model, "predict_proba_one")

    def predict(self, features: Features) -> Answer:
        """Answer one event, the label by one call and the probabilities by another."""
        answer: Answer = {"prediction": plain(self._predict_one(features))}
        if self._has_probabilities:
            answer["probabilities"] = plain_probabilities(self._predict_proba_one(features) or {})
        return answer


class RiverRegressor(RiverLearner):
    """A model that predicts a number."""

    kind: Kind = "regressor"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = answering(model, "predict_one")

    def predict(self, features: Features) -> Answer:
        """Answer one event with a number."""
        number = self._predict_one(features)
        return {"prediction": number if type(number) is float else plain(number)}


class RiverAnomalyDetector(RiverLearner):
    """A model that scores events; a filter also says which scores are anomalies."""

    kind: Kind = "anomaly"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._score_one = answering(model, "score_one")
        final = last_step(model)
        self._classify = final.classify if isinstance(final, base.AnomalyFilter) else None

    def predict(self, features: Features) -> Answer:
        """Answer one event with its score, and a filter's verdict on it."""
        score = self._score_one(features)
        verdict = None if self._classify is None else bool(self._classify(score))
        return {"prediction": verdict, "score": plain(score)}


class RiverClusterer(RiverLearner):
    """A model that finds the cluster that an event belongs to."""

    kind: Kind = "clusterer"

    def _predict_by(self, model: Any) -> None:
        super()._predict_by(model)
        self._predict_one = answering(model, "predict_one")
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
    spare: Any | None = None,
    learns: bool = True,
    predict_changes_state: bool = False,
    probabilities: bool = True,
) -> RiverLearner:
    """Make the learner for a River model; `river_probe` finds out what has to be told of it.

    `spare` is a second, equal model, to predict by until the first example is learned; give one
    where labels come late. Rather make it anew than copy it: copying makes a model slower for good
    (about a tenth for a linear one), since CPython no longer keeps an object's attributes where it
    finds them fastest once its `__dict__` was read, as copying, pickling and `digest` do.

    Raises SettingsError for a model that cannot work on events.
    """
    kind = river_kind(model)
    options: dict[str, Any] = {
        "spare": spare,
        "learns": learns,
        "predict_changes_state": predict_changes_state,
    }
    if kind == "classifier" and not (
        probabilities and type(last_step(model)).predict_one is base.Classifier.predict_one
    ):
        return RiverLabeller(model, probabilities=probabilities, **options)
    return _LEARNERS[kind](model, **options)
