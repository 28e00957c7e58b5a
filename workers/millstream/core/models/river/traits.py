"""Detects traits of a River model by trials on copies, with made-up features."""

import contextlib
import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from river import base
from river.model_selection import BanditClassifier, BanditRegressor

from millstream.core.models.interface.learner import Label
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.classify import last_step, river_kind
from millstream.core.models.river.kinds import river_learner
from millstream.errors import SettingsError

_CHANGE_LATER = (BanditClassifier, BanditRegressor)
"""Models that change when they predict, but perhaps not within the few examples of a trial."""
_EXAMPLES = 40
_AHEAD = 5
"""How many events are predicted before the first label comes."""


@dataclass(frozen=True)
class RiverTraits:
    """The traits of a River model that its class does not tell."""

    probabilities: bool
    """It is a classifier with probabilities."""
    predict_changes_state: bool
    """The learned state depends on the predictions asked for, not on the examples alone."""


def detect_traits(model: Any, feature_names: tuple[str, ...] | None) -> RiverTraits:
    """Detect the traits of a River model, which itself stays as it is.

    Raises SettingsError for a model that cannot work on events.
    """
    kind = river_kind(model)
    names = feature_names or ("first", "second", "third", "fourth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probabilities = kind == "classifier" and _has(model, "predict_proba_one", names)
        answers = {"anomaly": "score_one"}.get(kind, "predict_one")
        if not probabilities and not _has(model, answers, names):
            raise SettingsError(f"model: {type(last_step(model)).__name__} makes no predictions")
        changes = isinstance(last_step(model), _CHANGE_LATER) or _changes(
            model, names, probabilities=probabilities
        )
    return RiverTraits(probabilities=probabilities, predict_changes_state=changes)


def _has(model: Any, method: str, names: tuple[str, ...]) -> bool:
    """Whether a method is more than River's placeholder, which raises NotImplementedError."""
    try:
        getattr(copy.deepcopy(model), method)(_features(names, 0))
    except NotImplementedError:
        return False
    except Exception:  # noqa: BLE001 - it does something; made-up features need not be to its liking
        return True
    return True


def _changes(model: Any, names: tuple[str, ...], *, probabilities: bool) -> bool:
    """Whether predictions between the examples change what is learned.

    Rows with missing features and with new ones show more, but not every model accepts them.
    """
    for rows in (list(_sparse(names)), [_features(names, i) for i in range(_EXAMPLES)]):
        # Any error only means that these made-up features are not to the model's liking.
        with contextlib.suppress(Exception):
            learned = partial(_learned, model, rows, probabilities=probabilities)
            return learned(predict=True) != learned(predict=False)
    return False


def _learned(model: Any, rows: list[dict[str, Any]], *, probabilities: bool, predict: bool) -> str:
    """Digest of a copy of the model that has learned the rows."""
    learner = river_learner(
        copy.deepcopy(model), warmup_model=copy.deepcopy(model), probabilities=probabilities
    )
    for i in range(len(rows) + _AHEAD):
        if predict and i < len(rows):
            learner.predict(rows[i])
        if i >= _AHEAD:
            late = (i - _AHEAD) ^ 1  # labels come in another order than their events
            learner.learn(rows[late], _label(model, late) if learner.traits.supervised else None)
    return digest(learner.model)


def _label(model: Any, i: int) -> Label:
    return i % 3 == 0 if isinstance(model, base.Classifier) else float(i % 7)


def _features(names: tuple[str, ...], i: int) -> dict[str, Any]:
    return {name: (i * 37 + j * 11) % 23 / 23 for j, name in enumerate(names)}


def _sparse(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for i in range(_EXAMPLES):
        features = _features(names, i)
        if len(names) > 1 and i % 3 == 1:
            del features[names[i % len(names)]]
        if i >= _EXAMPLES // 2:
            features[f"turns up late {i % 2}"] = 1.0
        yield features
