"""The base class of learners of River models.

The methods that run for each event call River's own methods, bound once, or a fast path that gives
the same bits. So answers and weights are those of River's `progressive_val_score`.

Some models set themselves up at the first call (forests find out the features), even if it is a
prediction. With delayed labels the state must not depend on that, since a restore replays only
what was learned. There an untrained model predicts by a warm-up model, which the first example
discards.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from river import base
from river.compose import Pipeline, TransformerUnion

from millstream.core.models.interface.answers import plain
from millstream.core.models.interface.learner import Answer, Features, Label
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.interface.traits import Kind, LearnerTraits
from millstream.core.models.river.classify import first_steps
from millstream.core.models.river_fastpath.pipeline import answering, fast_path, learning


class RiverLearner:
    """The part of a `Learner` that is the same for River models of every kind."""

    kind: ClassVar[Kind]
    finite: ClassVar[bool] = False

    def __init__(
        self,
        model: Any,
        *,
        warmup_model: Any | None = None,
        learns: bool = True,
        predict_changes_state: bool = False,
    ) -> None:
        self._model = model
        self.traits = LearnerTraits(
            kind=self.kind,
            supervised=bool(model._supervised),
            learns=learns,
            finite=self.finite,
            binary=self.kind == "classifier" and not model._multiclass,
            predict_changes_state=predict_changes_state,
        )
        self._learn_by(model)
        self._untrained = warmup_model is not None
        self._predict_by(model if warmup_model is None else warmup_model)

    def __deepcopy__(self, memo: Any) -> Self:
        """Refuse: the methods of a copy would still be bound to the old model."""
        raise TypeError(
            "a learner cannot be copied: copy its model, and make another learner of it"
        )

    @property
    def state(self) -> Self:
        """Everything that it has learned: itself."""
        return self

    @property
    def model(self) -> Any:
        """River's own model, brought up to date at each access."""
        if self._fast_path is not None:
            self._fast_path.write_back()
        return self._model

    def _learn_by(self, model: Any) -> None:
        """Learn by the methods of `model` from now on."""
        self._fast_path = fast_path(model)
        self._learn_one = learning(model) if self._fast_path is None else self._fast_path.learn

    def _predict_by(self, model: Any) -> None:
        """Predict by the methods of `model` from now on."""
        self._transform_one: Callable[[Any], dict[Any, Any]] = (
            model.transform_one if isinstance(model, Pipeline) else dict
        )

    def _answering(self, model: Any, method: str) -> Callable[[Features], Any]:
        """The method of `model` that answers one event, or its fast path."""
        if self._fast_path is not None and model is self._model:
            if self._fast_path.method == method:
                return self._fast_path.answering()
            self._leave_fast_path()
        return answering(model, method)

    def _leave_fast_path(self) -> Any:
        """The model; its steps are called one by one from now on."""
        model = self.model
        if self._fast_path is not None:
            self._fast_path, self._learn_one = None, learning(model)
            if not self._untrained:
                self._predict_by(model)
        return model

    def _end_warmup(self) -> None:
        self._untrained = False
        self._predict_by(self._model)

    @property
    def untrained(self) -> bool:
        """Whether it still predicts by the warm-up model."""
        return self._untrained

    def replace_model(self, model: Any, *, untrained: bool) -> None:
        """Replace the model; the warm-up model stays where that one is untrained as well."""
        self._model = model
        self._learn_by(model)
        if not (self._untrained and untrained):
            self._end_warmup()

    def predict(self, features: Features) -> Answer:
        """Answer one event."""
        raise NotImplementedError

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row in turn."""
        return [self.predict(features) for features in rows]

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example."""
        if self._untrained:
            self._end_warmup()
        self._learn_one(features, label)

    def transform(self, features: Features) -> dict[str, Any]:
        """Run the steps before the last one, without changing them.

        Raises TypeError for names that are not text, which JSON cannot hold.
        """
        self._leave_fast_path()
        transformed: dict[Any, Any] = self._transform_one(features)
        if not all(type(name) is str for name in transformed):
            raise TypeError("the pipeline's transformers name features by something but text")
        return {name: plain(value) for name, value in transformed.items()}

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """Learn as River's `Pipeline.learn_one`, but with `transformed` in the last step."""
        if self._untrained:
            self._end_warmup()
        model = self._leave_fast_path()
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
