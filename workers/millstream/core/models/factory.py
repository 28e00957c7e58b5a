"""From a definition in the settings to a learner."""

import hashlib
from typing import Any

import orjson
from sklearn.base import BaseEstimator

from millstream.core.models.checked_learner import CheckedLearner
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river.traits import RiverTraits, probe
from millstream.core.spec import LabelsSpec, ModelSpec
from millstream.errors import SettingsError


def definition_digest(spec: ModelSpec, labels: LabelsSpec, made: str | None = None) -> str:
    """Digest of everything that decides what a model is: 12 hex digits.

    That is its definition, which log it learns from, and what it takes from an example there.
    Paths and the name do not count: the same file elsewhere is the same model. `made`: of a
    learner, what its factory made; a factory's name says nothing of the code behind it.
    """
    definition = {
        "river": spec.river and spec.river.strip(),
        "factory": spec.factory,
        "made": made,
        "sklearn": spec.sklearn and spec.sklearn.sha256,
        "weights": spec.weights and spec.weights.sha256,
        "classes": spec.classes,
        "learn": spec.learn,
        "labels": labels.source,
        "learn_from": labels.learn_from,
    }
    canonical = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:12]


def described(spec: ModelSpec) -> str:
    """What the settings define, for people to read."""
    if spec.sklearn is not None:
        return f"scikit-learn, sha256 {spec.sklearn.sha256}"
    return spec.river or f"factory {spec.factory}"


def wrap(
    model: Any,
    spec: ModelSpec,
    *,
    labelled: bool,
    feature_names: tuple[str, ...] | None,
    spare: Any | None = None,
    traits: RiverTraits | None = None,
) -> Learner:
    """Make the learner for a model that nothing else uses.

    `labelled`: labels come, with the events or on a topic. `feature_names`: as listed in the
    settings, None where all fields are features. `spare`: see `river_learner`. `traits`: what
    `probe` said of an equal model; without them this one is probed.
    Raises SettingsError where model and settings do not fit.
    """
    if isinstance(model, Learner):
        return _own(model, spec, labelled=labelled)
    if is_sklearn(model):
        return _sklearn(model, spec, feature_names, learns=labelled and spec.learn)
    traits = traits or probe(model, feature_names)
    supervised = bool(model._supervised)
    _check_labels(type(model).__name__, spec, supervised=supervised, labelled=labelled)
    return river_learner(
        model,
        spare=spare,
        learns=spec.learn and (labelled or not supervised),
        predict_changes_state=traits.predict_changes_state,
        probabilities=traits.probabilities,
    )


def _sklearn(
    model: Any, spec: ModelSpec, feature_names: tuple[str, ...] | None, *, learns: bool
) -> Learner:
    # Only here: these import much of scikit-learn, which a worker of a River model does without.
    if learns:
        from millstream.core.models.scikit_learn.incremental import (  # noqa: PLC0415 - see above
            IncrementalSklearn,
        )

        return IncrementalSklearn(model, spec.classes, feature_names)
    from millstream.core.models.scikit_learn.static import StaticSklearn  # noqa: PLC0415 - see above

    return StaticSklearn(model, feature_names)


def is_sklearn(model: object) -> bool:
    """Whether a model speaks scikit-learn rather than River."""
    if isinstance(model, Learner):
        return False
    return isinstance(model, BaseEstimator) or (
        hasattr(model, "predict") and not hasattr(model, "learn_one")
    )


def _own(given: Learner, spec: ModelSpec, *, labelled: bool) -> Learner:
    """A learner that a factory made, of a kind of the user's own."""
    name = type(given).__name__
    learner = CheckedLearner(given)
    if learner.learns:
        _check_labels(name, spec, supervised=learner.supervised, labelled=labelled)
        learner.learns = spec.learn and (labelled or not learner.supervised)
    elif labelled and spec.learn:
        raise SettingsError(f"labels.from: {name} does not learn; set labels.from: none")
    if learner.learns and learner.batched:
        raise SettingsError(
            f"model.factory: {name} says batched = True, but what learns is asked event by event: "
            "leave batched out, or say learns = False"
        )
    return learner


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
