"""The calls that a pipeline of River makes for each event, without the pipeline.

`Pipeline` looks up its plan and the kind of each step at every call: about an eighth of the time of
a cheap model. For a plain pipeline (transformers that learn without labels, then a model) the same
calls of the same steps in the same order are bound here once, so that answers and weights are the
same to the last bit. Any other pipeline is called as it is.

`steps`, `scaled_linear` and `forest` are faster still, for steps that many models have. `ENABLED`
turns all of it off.
"""

from collections.abc import Callable
from typing import Any

from river import base
from river.compose import Pipeline, TransformerUnion

from millstream.core.models.river_fastpath.forest import AskTreesOnce, ask_trees_once
from millstream.core.models.river_fastpath.scaled_linear import ScaledLinear, scaled_linear
from millstream.core.models.river_fastpath.steps import (
    Features,
    learning_and_transforming,
    learning_of,
)

ENABLED = True
"""The switch for all fast paths, read when a learner is made. False: every call goes to River's own
methods, and answers and weights stay the same; for debugging, and to try a new release of River."""
Learn = Callable[[Features, Any], None]
FastPath = ScaledLinear | AskTreesOnce


def fast_path(model: Any) -> FastPath | None:
    """The fast path for a whole model; None where there is none."""
    return (scaled_linear(plain_steps(model)) or ask_trees_once(model)) if ENABLED else None


def answering(model: Any, method: str) -> Callable[[Features], Any]:
    """A model's method that takes one event's features, such as `predict_proba_one`."""
    steps = plain_steps(model)
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
    steps = plain_steps(model)
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


def plain_steps(model: Any) -> list[Any] | None:
    """The steps of a plain pipeline: transformers that learn without labels, then a model.

    None for anything else, and where fast paths are off.
    """
    if not ENABLED or type(model) is not Pipeline or not model.steps:
        return None
    *transformers, final = model.steps.values()
    plain = all(
        isinstance(step, base.Transformer)
        and not isinstance(step, TransformerUnion | base.AnomalyFilter)
        and not step._supervised
        for step in transformers
    )
    other_end = isinstance(final, base.Transformer | base.AnomalyFilter | Pipeline)
    return None if not plain or other_end else [*transformers, final]
