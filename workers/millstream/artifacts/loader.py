"""Models from files and factories: read and checked once, then as many fresh ones as needed."""

import copy
import hashlib
import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
from river.compose import Pipeline, TransformerUnion

from millstream.config.settings import Settings
from millstream.core.formats.codec import Codec
from millstream.core.formats.labels import unlearnable
from millstream.core.models.base_learner import BaseLearner
from millstream.core.models.factory import is_sklearn, wrap
from millstream.core.models.fingerprint import made_digest
from millstream.core.models.interface.learner import KINDS, Learner
from millstream.core.models.reproducibility import hash_ordered, unseeded
from millstream.core.models.river import expression
from millstream.core.models.river.classify import last_step
from millstream.core.models.river.traits import probe
from millstream.core.spec import FileRef, ModelSpec
from millstream.errors import SettingsError


def load_model(spec: ModelSpec) -> Callable[[], Any]:
    """Load the model that the settings define; the result makes a fresh equal one on each call.

    Raises SettingsError where a file cannot be read or is not the pinned one, a factory fails, or
    weights belong to another model.
    """
    model = _defined(spec)
    if spec.weights is None:
        if (text := spec.river) is not None:
            return lambda: expression.build(text)  # a copy would be slower: see `river_learner`
    else:
        if spec.sklearn is not None:
            raise SettingsError(
                "model.weights: model.sklearn holds its own weights; leave model.weights out"
            )
        weights = _load("model.weights", spec.weights)
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
    other = is_sklearn(model) or isinstance(model, Learner)
    traits = None if other else probe(model, names)

    made = _made(settings.model, make)

    def to_learner(model: Any) -> Learner:
        learner = wrap(
            model,
            settings.model,
            labelled=settings.labels.source != "none",
            feature_names=names,
            spare=make() if traits and settings.has_delayed_labels else None,
            traits=traits,
        )
        learner.made = made
        return learner

    # The probe has copied its model, which made that one slower: see `river_learner`.
    learner = to_learner(make() if traits else model)
    _check_late_labels(settings, model, learner)
    for sentence in unlearnable(settings.labels, learner, settings.model.classes):
        raise SettingsError(sentence)
    if not (learner.learns or learner.predict_changes_state):
        return lambda: learner  # shared by all shards, be it a gigabyte of trees
    return lambda: to_learner(make())


def _made(spec: ModelSpec, make: Callable[[], Any]) -> str | None:
    """What a factory made; where there are weights, those say where the model begins."""
    reference = spec.factory
    if reference is None or spec.weights is not None:
        return None
    return made_digest(make(), lambda: _call_factory(reference))


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
    return settings.model.sklearn is None and learner_factory(settings)().learns


def _check_late_labels(settings: Settings, model: Any, learner: Learner) -> None:
    if settings.labels.learn_from == "transformed" and not isinstance(model, Pipeline):
        raise SettingsError(
            "labels.learn_from: transformed needs a River pipeline, as only that transforms "
            "features in steps of its own"
        )
    if settings.has_delayed_labels and learner.predict_changes_state:
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


def _defined(spec: ModelSpec) -> Any:
    if spec.river is not None:
        return expression.build(spec.river)
    if spec.sklearn is not None:
        model = _load("model.sklearn", spec.sklearn)
        if not is_sklearn(model):
            raise SettingsError(
                f"model.sklearn: {spec.sklearn.path} holds a {type(model).__name__}, "
                "not a scikit-learn estimator"
            )
        return model
    return _call_factory(spec.factory or "")


def load_codec(reference: str, setting: str = "events.codec") -> Codec:
    """The codec `package.module:function`. Raises SettingsError where it is not there."""
    codec: Codec = _function(setting, reference)
    return codec


def _function(setting: str, reference: str) -> Callable[..., Any]:
    """The user's `package.module:function`."""
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name.isidentifier():
        raise SettingsError(f"{setting}: {reference!r} is not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # A package that is there may need another one that is not.
        remedy = (
            "install it, or put its folder into PYTHONPATH"
            if f"{module_name}.".startswith(f"{missing}.")
            else f"it needs {missing}, which has to be installed"
        )
        raise SettingsError(
            f"{setting}: {module_name} cannot be imported ({_told(error)}): {remedy}"
        ) from error
    except Exception as error:
        raise SettingsError(
            f"{setting}: {module_name} cannot be imported ({_told(error)})"
        ) from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        raise SettingsError(f"{setting}: {module_name} has no function {function_name}")
    return function


def _call_factory(reference: str) -> Any:
    """Call the user's `package.module:function`."""
    function = _function("model.factory", reference)
    try:
        model = function()
    except Exception as error:
        raise SettingsError(f"model.factory: {reference} failed ({_told(error)})") from error
    if isinstance(model, type) or not (hasattr(model, "learn_one") or hasattr(model, "predict")):
        raise SettingsError(
            f"model.factory: {reference} returned {_article(model)}, not a model: let it return a "
            "River model, a scikit-learn estimator or a millstream.BaseLearner"
        )
    if isinstance(model, BaseLearner | Learner) and getattr(model, "kind", None) not in KINDS:
        raise SettingsError(
            f"model.factory: {type(model).__name__}.kind is "
            f"{getattr(model, 'kind', 'missing')}: it has to be one of {', '.join(KINDS)}"
        )
    return model


def _copy(model: Any) -> Any:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise SettingsError(
            f"model: {type(model).__name__} cannot be copied ({_told(error)}), and each partition "
            "has a model of its own: let it hold nothing that cannot be pickled"
        ) from error


def _load(setting: str, file: FileRef) -> Any:
    """Unpickle a file, which may run code, once its checksum has shown that it is the right one."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}.path: {file.path}: {error.strerror}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise SettingsError(
            f"{setting}.sha256: {file.path} has {actual}, but the settings pin {file.sha256}"
        )
    try:
        return joblib.load(io.BytesIO(content))
    except Exception as error:
        raise SettingsError(
            f"{setting}.path: {file.path} cannot be loaded ({_told(error)})"
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


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _article(value: object) -> str:
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
