"""Fingerprints of the models that factories make, to notice a factory that changed."""

import contextlib
from collections.abc import Callable
from typing import Any

from river import base
from sklearn.base import BaseEstimator, clone

from millstream.core.models.base_learner import UserLearner
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.reproducibility import parameters


def factory_fingerprint(model: Any, make_again: Callable[[], Any]) -> str | None:
    """Digest of a model that a factory just made; `make_again` calls the factory once more.

    It covers the model's classes, their parameters, and the state that it has learned already, if
    any. None where it holds an object without readable state.
    """
    try:
        structure = _structure(model)
        state: str | None = digest(model)
        # Parameters alone identify a model in its initial state: that state is its library's own
        # affair, and may differ in the next version. And a factory that draws unseeded random
        # numbers makes another state at each start, so it would count as another model each time;
        # `reproducibility` reports that it is unseeded.
        if state == _fresh_state(model) or state != digest(make_again()):
            state = None
        return digest([structure, state])
    except TypeError:
        return None


def _structure(value: Any) -> Any:
    """Classes and parameters of a model and of its parts, as plain values."""
    if isinstance(value, dict):
        return [(_structure(key), _structure(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_structure(each) for each in value]
    if isinstance(value, UserLearner):
        return type(value)  # its parameters, whatever they are, are in its state
    if isinstance(value, base.Base | BaseEstimator):
        named = sorted(parameters(value).items())
        return [type(value), [(name, _structure(each)) for name, each in named]]
    return value


def _fresh_state(model: Any) -> str | None:
    """Digest of a model that is made of the same parameters; None where none can be made."""
    # Any error only means that the parameters are not all there is to the model.
    with contextlib.suppress(Exception):
        fresh = clone(model) if isinstance(model, BaseEstimator) else model.clone()
        return digest(fresh)
    return None
