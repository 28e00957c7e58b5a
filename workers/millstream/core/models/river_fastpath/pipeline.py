"""The calls that a pipeline of River makes for each event, without the pipeline.

`Pipeline` looks its plan up at every call, and what kind each step is: about an eighth of the time
of a cheap model. For the usual pipeline (transformers that learn without labels, then a model) the
same calls of the same steps in the same order are bound here once, so that answers and weights are
the same to the last bit. Any other pipeline is called as it is.

Two steps that most pipelines have are gone through in one pass; see `river_steps`.
"""

from collections.abc import Callable
from typing import Any

from river import base
from river.compose import Pipeline, TransformerUnion

from millstream.core.models.river_fastpath.steps import learning_and_transforming, learning_of

Features = Any
Learn = Callable[[Features, Any], None]


def answering(model: Any, method: str) -> Callable[[Features], Any]:
    """A model's method that takes one event's features, such as `predict_proba_one`."""
    steps = usual_steps(model)
    if steps is None:
        bound: Callable[[Features], Any] = getattr(model, method)
        return bound
    *transformers, final = steps
    answer = getattr(final, method)
    transforms = [step.transform_one for step in transformers]
    if len(transforms) == 1:
        (transform,) = transforms
        return lambda features: answer(transform(features))

    def through_all(features: Features) -> Any:
        for transform in transforms:
            features = transform(features)
        return answer(features)

    return through_all


def learning(model: Any) -> Learn:
    """A model's `learn_one`; an unsupervised one is not shown the label."""
    supervised = bool(model._supervised)
    steps = usual_steps(model)
    if steps is None:
        learn_one: Callable[..., None] = model.learn_one
        return learn_one if supervised else lambda features, _label: learn_one(features)
    *transformers, final = steps
    learn_final = learning_of(final) if supervised else _without_label(final.learn_one)
    calls = [learning_and_transforming(step) for step in transformers]
    if len(calls) == 1:
        (through_first,) = calls
        return lambda features, label: learn_final(through_first(features), label)

    def through_all(features: Features, label: Any) -> None:
        for through in calls:
            features = through(features)
        learn_final(features, label)

    return through_all


def _without_label(learn_one: Callable[..., None]) -> Learn:
    return lambda features, _label: learn_one(features)


def usual_steps(model: Any) -> list[Any] | None:
    """The steps of the usual pipeline, None for anything else."""
    if type(model) is not Pipeline or not model.steps:
        return None
    *transformers, final = model.steps.values()
    usual = all(
        isinstance(step, base.Transformer)
        and not isinstance(step, TransformerUnion | base.AnomalyFilter)
        and not step._supervised
        for step in transformers
    )
    unusual_end = isinstance(final, base.Transformer | base.AnomalyFilter | Pipeline)
    return None if not usual or unusual_end else [*transformers, final]
