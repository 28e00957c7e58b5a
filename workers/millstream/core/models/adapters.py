"""The adapters that make a learner of a model: one for each kind in the registry."""

from dataclasses import replace
from typing import Any

from sklearn.base import BaseEstimator

from millstream.core.models.base_learner import UserLearner
from millstream.core.models.checked_learner import CheckedLearner
from millstream.core.models.interface.learner import Learner
from millstream.core.models.registry import ModelContext
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river.traits import detect_traits
from millstream.core.spec import ModelSpec
from millstream.errors import SettingsError


def adapt_river(model: Any, context: ModelContext) -> Learner:
    """Make the learner of a River model."""
    spec, labelled = context.spec, context.labelled
    traits = context.river_traits or detect_traits(model, context.feature_names)
    supervised = bool(model._supervised)
    _check_labels(type(model).__name__, spec, supervised=supervised, labelled=labelled)
    return river_learner(
        model,
        warmup_model=context.warmup_model,
        learns=spec.learn and (labelled or not supervised),
        predict_changes_state=traits.predict_changes_state,
        probabilities=traits.probabilities,
    )


def adapt_sklearn(model: Any, context: ModelContext) -> Learner:
    """Make the learner of a scikit-learn estimator: a static one where it does not learn."""
    # Only here: these import much of scikit-learn, which a worker of a River model does without.
    if context.labelled and context.spec.learn:
        from millstream.core.models.scikit_learn.incremental import (  # noqa: PLC0415 - see above
            IncrementalSklearn,
        )

        return IncrementalSklearn(model, context.spec.classes, context.feature_names)
    from millstream.core.models.scikit_learn.static import StaticSklearn  # noqa: PLC0415 - see above

    return StaticSklearn(model, context.feature_names)


def is_sklearn(model: object) -> bool:
    """Whether a model has the interface of scikit-learn rather than River's."""
    if isinstance(model, UserLearner):
        return False
    return isinstance(model, BaseEstimator) or (
        hasattr(model, "predict") and not hasattr(model, "learn_one")
    )


def adapt_user_learner(model: UserLearner, context: ModelContext) -> Learner:
    """Make the learner of a model of the user's own, which a factory returned."""
    name, spec, labelled = type(model).__name__, context.spec, context.labelled
    learner = CheckedLearner(model)
    traits = learner.traits
    if traits.learns:
        _check_labels(name, spec, supervised=traits.supervised, labelled=labelled)
        learns = spec.learn and (labelled or not traits.supervised)
        learner.traits = traits = replace(traits, learns=learns)
    elif labelled and spec.learn:
        raise SettingsError(f"labels.from: {name} does not learn; set labels.from: none")
    if traits.learns and traits.batched:
        raise SettingsError(
            f"model.factory: {name} says batched = True, but what learns is asked event by event: "
            "leave batched out, or say learns = False"
        )
    return learner


def is_user_learner(model: object) -> bool:
    """Whether a model is one of the user's own."""
    return isinstance(model, UserLearner)


def _check_labels(name: str, spec: ModelSpec, *, supervised: bool, labelled: bool) -> None:
    if labelled and not supervised:
        raise SettingsError(f"labels.from: {name} learns from events alone; set labels.from: none")
    if spec.weights is not None or (spec.learn and (labelled or not supervised)):
        return
    if not spec.learn:
        raise SettingsError(
            f"model.learn: without learning {name} knows nothing; give it model.weights"
        )
    raise SettingsError(
        f"labels.from: {name} learns from labels; say where they come from, or give model.weights"
    )
