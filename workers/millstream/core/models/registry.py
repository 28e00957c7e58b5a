"""The kinds of models: their names in the settings, and their adapters.

A new kind is one entry of `MODEL_KINDS` here, with its adapter, one of `LOADERS` in
`artifacts.loader`, and a field of `ModelSpec`. All three have one name.

Settings read this module, so it imports no library of models before one is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.core.models.interface.learner import Learner
from millstream.core.spec import ModelSpec

if TYPE_CHECKING:
    from millstream.core.models.river.traits import RiverTraits


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """The settings and facts that decide how a model becomes a learner."""

    spec: ModelSpec
    labelled: bool
    """Labels come, with the events or on a topic."""
    feature_names: tuple[str, ...] | None
    """As listed in the settings; None where all fields are features."""
    warmup_model: Any | None = None
    """See `river_learner`."""
    river_traits: "RiverTraits | None" = None
    """The result of `detect_traits` for an equal model; None: to be detected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKind:
    """One kind of model, by the setting below `model` that defines it."""

    describe: Callable[[Any], str]
    """From the setting's value to a text for people."""
    fingerprint: Callable[[Any], Any]
    """From the setting's value to JSON that is equal where the definition is."""
    recognise: Callable[[object], bool]
    """Whether a model is of this kind. A factory may return a model of any."""
    adapt: Callable[[Any, ModelContext], Learner]
    """Make the learner of a model; raises SettingsError where model and settings do not fit."""
    needs_all_features: bool = False
    holds_weights: bool = False
    """Its definition is a trained model, so it takes no `model.weights`."""
    learns_unlabelled: bool = True
    """There are models of this kind that learn from events alone."""


def _adapters() -> Any:
    from millstream.core.models import adapters  # noqa: PLC0415 - imports River and scikit-learn

    return adapters


MODEL_KINDS: Final[Mapping[str, ModelKind]] = {
    "factory": ModelKind(
        describe=lambda reference: f"factory {reference}",
        fingerprint=lambda reference: reference,
        recognise=lambda model: _adapters().is_user_learner(model),
        adapt=lambda model, context: _adapters().adapt_user_learner(model, context),
    ),
    "sklearn": ModelKind(
        describe=lambda file: f"scikit-learn, sha256 {file.sha256}",
        fingerprint=lambda file: file.sha256,
        recognise=lambda model: _adapters().is_sklearn(model),
        adapt=lambda model, context: _adapters().adapt_sklearn(model, context),
        needs_all_features=True,
        holds_weights=True,
        learns_unlabelled=False,
    ),
    "river": ModelKind(
        describe=lambda expression: expression,
        fingerprint=lambda expression: expression.strip(),
        recognise=lambda _model: True,
        adapt=lambda model, context: _adapters().adapt_river(model, context),
    ),
}
"""In the order in which a model is recognised; the last one refuses a model of no kind."""


def definition_of(spec: ModelSpec) -> tuple[str, ModelKind, Any]:
    """The setting that defines the model, its kind, and the setting's value."""
    return next(
        (name, kind, value)
        for name, kind in MODEL_KINDS.items()
        if (value := getattr(spec, name)) is not None
    )


def kind_of(model: object) -> ModelKind:
    """The kind of a model."""
    return next(kind for kind in MODEL_KINDS.values() if kind.recognise(model))
