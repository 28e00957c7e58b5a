"""The features of an event, checked before the model sees them.

A model is not robust: one infinite feature makes the weights of a linear model NaN for ever, and a
text where a number should be may raise when a pipeline has half learned already.
"""

from collections.abc import Callable, Iterable
from math import hypot
from typing import Any, Final

from millstream.core.formats.json_fields import MISSING, Document, getter, root
from millstream.core.models.interface.learner import Learner
from millstream.core.spec import AllBut, EventsSpec
from millstream.errors import DeadLetter

MAX_MAGNITUDE: Final = 1e100
"""Models square numbers, and add the squares up: far beyond this, that overflows to infinity."""
MAX_DEPTH: Final = 32
"""Of objects in an event whose fields are all features."""

Bounds = dict[str, tuple[float | None, float | None]]
FeatureReader = Callable[[Document], dict[str, Any]]


def feature_reader(spec: EventsSpec, learner: Learner, taken: Iterable[str]) -> FeatureReader:
    """A function from a decoded event to its features; raises `DeadLetter`.

    `taken` are the paths of id, label and timestamp, which are no features.
    """
    names = spec.features
    if not isinstance(names, tuple) and learner.traits.feature_names is not None:
        names = learner.traits.feature_names
    check = _Check(spec.bounds, numeric_only=learner.traits.numeric_only)
    may_miss = spec.missing == "allow" or (spec.missing is None and not learner.traits.numeric_only)
    if isinstance(names, tuple):
        return _Listed(names, check, may_miss=may_miss and not learner.traits.numeric_only)
    but = names.all_but if isinstance(names, AllBut) else ()
    return _Open({*but, *taken}, check, may_miss=may_miss)


class _Check:
    """What a feature's value may be."""

    def __init__(self, bounds: Bounds, *, numeric_only: bool) -> None:
        self._bounds = bounds
        self._numeric_only = numeric_only

    def each(self, features: dict[str, Any]) -> None:
        """Raise `DeadLetter` for the first feature that the model cannot take."""
        for name, value in features.items():
            kind = type(value)
            if kind is float or kind is int:
                if not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
                    raise DeadLetter("feature_value", f"{name} is too large")
            elif kind is not bool and (kind is not str or self._numeric_only):
                wanted = "a number" if self._numeric_only else "a number, a boolean or text"
                raise DeadLetter("feature_type", f"{name} is not {wanted}")

    def bounds(self, features: dict[str, Any]) -> None:
        """Raise `DeadLetter` for the first feature outside of its bounds."""
        for name, (lowest, highest) in self._bounds.items():
            value = features.get(name)
            if value is None:
                continue
            if type(value) is str:
                raise DeadLetter("feature_type", f"{name} has bounds, but is text")
            if (lowest is not None and value < lowest) or (highest is not None and value > highest):
                raise DeadLetter("bounds", f"{name} is outside of [{lowest}, {highest}]")


def all_are_moderate_numbers(features: dict[str, Any]) -> bool:
    """Whether no value is text, null, an object, a list or beyond `MAX_MAGNITUDE`.

    One call for all of them, since this runs for every event: the length of a vector is at least
    that of its longest side, cannot overflow on the way, and is only known of numbers.
    False may also mean many numbers just below the limit; ask each one.
    """
    try:
        return hypot(*features.values()) <= MAX_MAGNITUDE
    except TypeError:
        return False


class _Listed:
    """The features that the settings list, in their order."""

    def __init__(self, names: tuple[str, ...], check: _Check, *, may_miss: bool) -> None:
        self._names = names
        self._check = check
        self._may_miss = may_miss
        self._flat = all(root(name) == name for name in names)
        self._getters = [(name, getter(name)) for name in names]

    def __call__(self, document: Document) -> dict[str, Any]:
        features = self._pick_all(document)
        if features is None or not all_are_moderate_numbers(features):
            features = self._pick_what_is_there(document)
            self._check.each(features)
        self._check.bounds(features)
        return features

    def _pick_all(self, document: Document) -> dict[str, Any] | None:
        """The usual case, quickly: None or a value that is no number where something is missing."""
        if not self._flat:
            return {name: get(document) for name, get in self._getters}
        try:
            return {name: document[name] for name in self._names}
        except KeyError:
            return None

    def _pick_what_is_there(self, document: Document) -> dict[str, Any]:
        features: dict[str, Any] = {}
        for name, get in self._getters:
            value = get(document)
            if value is not MISSING and value is not None:
                features[name] = value
            elif not self._may_miss:
                raise DeadLetter("missing_feature", f"{name} is missing or null")
        if not features:
            raise DeadLetter("missing_feature", "none of the features is there")
        return features


class _Open:
    """Every field but some, in the event's own order; nested objects by dotted names."""

    def __init__(self, but: set[str], check: _Check, *, may_miss: bool) -> None:
        self._but = but
        self._check = check
        self._may_miss = may_miss

    def __call__(self, document: Document) -> dict[str, Any]:
        features: dict[str, Any] = {}
        self._flatten("", document, features, 0)
        if not features:
            raise DeadLetter("missing_feature", "the event has no features")
        if not all_are_moderate_numbers(features):
            self._check.each(features)
        self._check.bounds(features)
        return features

    def _flatten(
        self, prefix: str, document: Document, features: dict[str, Any], depth: int
    ) -> None:
        if depth > MAX_DEPTH:
            raise DeadLetter("feature_type", f"objects nested deeper than {MAX_DEPTH} levels")
        for field, value in document.items():
            name = prefix + field
            if name in self._but:
                continue
            if type(value) is dict:
                self._flatten(f"{name}.", value, features, depth + 1)
            elif value is not None:
                features[name] = value
            elif not self._may_miss:
                raise DeadLetter("missing_feature", f"{name} is null")
