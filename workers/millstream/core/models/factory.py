"""Makes learners of model definitions, and versions of the definitions."""

import hashlib
from dataclasses import replace
from typing import Any

import orjson

from millstream.core.models.interface.learner import Learner
from millstream.core.models.registry import ModelContext, definition_of, kind_of
from millstream.core.models.river.traits import RiverTraits
from millstream.core.spec import LabelsSpec, ModelSpec


def definition_digest(
    spec: ModelSpec, labels: LabelsSpec, factory_fingerprint: str | None = None
) -> str:
    """Digest of everything that decides the identity of a model: 12 hex digits.

    That is its definition, the log that it learns from, and the part of an example that it learns.
    Paths and the name do not count: the same file elsewhere is the same model.
    `factory_fingerprint`: the trait of a learner; the name of a factory does not identify its code.
    """
    definition: dict[str, Any] = {
        # Always there, as in the first digests: a kind that was added later has a key only where
        # it is used, since the key alone would change the digests of all other models.
        "river": None,
        "factory": None,
        "sklearn": None,
        "made": factory_fingerprint,
        "weights": spec.weights and spec.weights.sha256,
        "classes": spec.classes,
        "learn": spec.learn,
        "labels": labels.source,
        "learn_from": labels.learn_from,
    }
    name, kind, value = definition_of(spec)
    definition[name] = kind.fingerprint(value)
    canonical = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:12]


def describe(spec: ModelSpec) -> str:
    """The definition in the settings, for people to read."""
    _, kind, value = definition_of(spec)
    return kind.describe(value)


def wrap(
    model: Any,
    spec: ModelSpec,
    *,
    labelled: bool,
    feature_names: tuple[str, ...] | None,
    warmup_model: Any | None = None,
    river_traits: RiverTraits | None = None,
    factory_fingerprint: str | None = None,
) -> Learner:
    """Make the learner of a model that nothing else uses.

    See `ModelContext` for the arguments; `factory_fingerprint` becomes a trait of the learner.
    Raises SettingsError where model and settings do not fit.
    """
    context = ModelContext(
        spec=spec,
        labelled=labelled,
        feature_names=feature_names,
        warmup_model=warmup_model,
        river_traits=river_traits,
    )
    learner = kind_of(model).adapt(model, context)
    learner.traits = replace(learner.traits, factory_fingerprint=factory_fingerprint)
    return learner
