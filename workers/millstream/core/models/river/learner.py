"""What River models of every kind have in common, as learners.

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
from river.compose import Pipeline, TransformerUnion

from millstream.core.models.interface.answers import plain
from millstream.core.models.interface.learner import Answer, Features, Kind, Label
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.classify import first_steps
from millstream.core.models.river_fastpath.forest import AskedOnce, asked_once
from millstream.core.models.river_fastpath.pipeline import answering, learning, usual_steps
from millstream.core.models.river_fastpath.scaled_linear import ScaledLinear, scaled_linear


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
        self._model = model
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

    @property
    def model(self) -> Any:
        """River's own model as it is now; what is learned later is in it when it is asked for."""
        if self._quick is not None:
            self._quick.settle()
        return self._model

    def _learn_by(self, model: Any) -> None:
        """Bind the method that learns to that of `model`."""
        self._quick: ScaledLinear | AskedOnce | None = scaled_linear(
            usual_steps(model)
        ) or asked_once(model)
        self._learn_one = learning(model) if self._quick is None else self._quick.learn

    def _predict_by(self, model: Any) -> None:
        """Bind the methods that answer to those of `model`."""
        self._transform_one: Callable[[Any], dict[Any, Any]] = (
            model.transform_one if isinstance(model, Pipeline) else dict
        )

    def _answering(self, model: Any, method: str) -> Callable[[Features], Any]:
        """A method of `model` that answers one event."""
        if self._quick is not None and model is self._model:
            if self._quick.method == method:
                return self._quick.answering()
            self._go_by_steps()
        return answering(model, method)

    def _go_by_steps(self) -> Any:
        """The model, whose steps are called one by one from here on."""
        model = self.model
        if self._quick is not None:
            self._quick, self._learn_one = None, learning(model)
            if not self._untaught:
                self._predict_by(model)
        return model

    def _be_taught(self) -> None:
        self._untaught = False
        self._predict_by(self._model)

    @property
    def untaught(self) -> bool:
        """Whether it still predicts by the spare model."""
        return self._untaught

    def replace_model(self, model: Any, *, untaught: bool) -> None:
        """Go on with `model`, and with the spare one if that has not learned anything either."""
        self._model = model
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
        self._go_by_steps()
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
        model = self._go_by_steps()
        if not isinstance(model, Pipeline):
            self._learn_one(transformed, label)
        elif _learn_first_steps(model, features, label):
            *_, final = model.steps.values()
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
