"""Loads models as the settings define them, checks them once, and makes as many as needed."""

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from river.compose import Pipeline, TransformerUnion

from millstream.artifacts.pinned_file import load_pinned
from millstream.artifacts.user_code import call_factory, first_line, load_codec
from millstream.config.settings import Settings
from millstream.core.formats.labels import unlearnable
from millstream.core.models.adapters import is_sklearn
from millstream.core.models.factory import wrap
from millstream.core.models.fingerprint import factory_fingerprint
from millstream.core.models.interface.learner import Learner
from millstream.core.models.registry import MODEL_KINDS, definition_of, kind_of
from millstream.core.models.reproducibility import hash_ordered, unseeded
from millstream.core.models.river import expression
from millstream.core.models.river.classify import last_step
from millstream.core.models.river.traits import detect_traits
from millstream.core.spec import FileRef, ModelSpec
from millstream.errors import SettingsError


@dataclass(frozen=True, slots=True)
class _Loader:
    """Loads a model of one kind from the value of its setting."""

    load: Callable[[Any], Any]
    loads_anew: bool = False
    """For another model, load once more: a copy would be slower (see `river_learner`)."""


def _load_estimator(file: FileRef) -> Any:
    model = load_pinned("model.sklearn", file)
    if not is_sklearn(model):
        raise SettingsError(
            f"model.sklearn: {file.path} holds a {type(model).__name__}, "
            "not a scikit-learn estimator"
        )
    return model


LOADERS: Final[Mapping[str, _Loader]] = {
    "river": _Loader(expression.build, loads_anew=True),
    "sklearn": _Loader(_load_estimator),
    "factory": _Loader(call_factory),
}
"""By the name of a kind in `MODEL_KINDS`."""


def load_model(spec: ModelSpec) -> Callable[[], Any]:
    """Load the model that the settings define; the result makes a fresh equal one on each call.

    Raises SettingsError where a file cannot be read or is not the pinned one, a factory fails, or
    weights belong to another model.
    """
    name, kind, value = definition_of(spec)
    loader = LOADERS[name]
    model = loader.load(value)
    if spec.weights is None:
        if loader.loads_anew:
            return lambda: loader.load(value)
    else:
        if kind.holds_weights:
            raise SettingsError(
                f"model.weights: model.{name} holds its own weights; leave model.weights out"
            )
        weights = load_pinned("model.weights", spec.weights)
        expected, actual = _shape(model), _shape(weights)
        if expected != actual:
            raise SettingsError(
                f"model.weights: {spec.weights.path} holds {actual}, but the settings define "
                f"{expected}"
            )
        model = weights
    return lambda: _copy(model)


def learner_factory(settings: Settings) -> Callable[[], Learner]:
    """Check model and settings against each other; the result makes a fresh learner on each call.

    Raises SettingsError where they do not fit, as well as for what `load_model` raises it for.
    """
    for setting, codec in (
        ("events.codec", settings.events.codec),
        ("labels.codec", settings.labels.codec),
    ):
        if codec is not None:
            load_codec(codec, setting)
    make = load_model(settings.model)
    features = settings.events.features
    names = features if isinstance(features, tuple) else None
    model = make()
    is_river = kind_of(model) is MODEL_KINDS["river"]
    traits = detect_traits(model, names) if is_river else None
    fingerprint = _factory_fingerprint(settings.model, make)

    def to_learner(model: Any) -> Learner:
        return wrap(
            model,
            settings.model,
            labelled=settings.labels.source != "none",
            feature_names=names,
            warmup_model=make() if traits and settings.has_delayed_labels else None,
            river_traits=traits,
            factory_fingerprint=fingerprint,
        )

    # `detect_traits` copies its model, which makes that one slower: see `river_learner`.
    learner = to_learner(make() if traits else model)
    _check_late_labels(settings, model, learner)
    for sentence in unlearnable(settings.labels, learner, settings.model.classes):
        raise SettingsError(sentence)
    if not (learner.traits.learns or learner.traits.predict_changes_state):
        return lambda: learner  # one for all partitions: it may be a gigabyte of trees
    return lambda: to_learner(make())


def _factory_fingerprint(spec: ModelSpec, make: Callable[[], Any]) -> str | None:
    """Digest of the model that a factory makes; None where `weights` define its first state."""
    reference = spec.factory
    if reference is None or spec.weights is not None:
        return None
    return factory_fingerprint(make(), lambda: call_factory(reference))


def model_learns(settings: Settings) -> bool:
    """Whether the model learns from its topics, so that these have to be kept.

    The model is built only where the settings leave it open: without labels, a factory or weights
    may be a model that learns from events alone, or one that learns nothing.
    Raises SettingsError as `learner_factory` does.
    """
    if not settings.model.learn:
        return False
    if settings.labels.source != "none":
        return True
    _, kind, _ = definition_of(settings.model)
    return kind.learns_unlabelled and learner_factory(settings)().traits.learns


def _check_late_labels(settings: Settings, model: Any, learner: Learner) -> None:
    if settings.labels.learn_from == "transformed" and not isinstance(model, Pipeline):
        raise SettingsError(
            "labels.learn_from: transformed needs a River pipeline, as only that transforms "
            "features in steps of its own"
        )
    if settings.has_delayed_labels and learner.traits.predict_changes_state:
        raise SettingsError(
            f"labels.from: topic cannot work with {type(last_step(model)).__name__}: what it "
            "learns depends on what it was asked in between, so its weights could not be restored"
        )


def why_not_reproducible(settings: Settings) -> list[str]:
    """Sentences on what makes this model learn something else in another run; empty if nothing."""
    model = load_model(settings.model)()
    sentences = []
    if names := unseeded(model):
        sentences.append(
            f"no seed for {', '.join(names)}, so neither a second run nor a restore learns the "
            "same weights: set one, such as seed=42"
        )
    if sys.flags.hash_randomization and (names := hash_ordered(model)):
        sentences.append(
            f"{', '.join(names)} of River depends on the order of Python's hashes, so a restart "
            "does not restore the same weights: set PYTHONHASHSEED=0 for every worker"
        )
    return sentences


def _copy(model: Any) -> Any:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise SettingsError(
            f"model: {type(model).__name__} cannot be copied ({first_line(error)}), and each "
            "partition has a model of its own: let it hold nothing that cannot be pickled"
        ) from error


def _shape(model: Any) -> str:
    """Name the classes that a model is made of, as a pipeline is written."""
    if isinstance(model, Pipeline):
        return " | ".join(map(_shape, model.steps.values()))
    if isinstance(model, TransformerUnion):
        return f"({' + '.join(map(_shape, model.transformers.values()))})"
    wrapped = getattr(model, "_wrapped_model", None)
    name = type(model).__name__
    return name if wrapped is None else f"{name}({_shape(wrapped)})"
