"""Finds the parts of a model that learn something else in another run."""

import inspect
from collections.abc import Iterator
from typing import Any

from river import base
from river.cluster import CluStream, KMeans, STREAMKMeans
from river.compose import Select

_SEEDS = ("seed", "random_state")
_HASH_ORDERED = (CluStream, KMeans, STREAMKMeans)
"""River's models that sum over a set of feature names, and draw random numbers in that order."""


def unseeded(model: Any) -> list[str]:
    """Name the classes in a model that draw random numbers nobody seeded, sorted.

    Such a model learns something else in every run, so its predictions cannot be reproduced.
    """
    return sorted(
        {
            type(part).__name__
            for part, given in _parts(model)
            if any(given.get(seed, 0) is None for seed in _SEEDS)
        }
    )


def hash_ordered(model: Any) -> list[str]:
    """Name the classes in a model whose results follow Python's hashes of text, sorted.

    Those differ from process to process unless the environment sets PYTHONHASHSEED.
    """
    return sorted(
        {
            type(part).__name__
            for part, _ in _parts(model)
            if type(part) in _HASH_ORDERED or (type(part) is Select and _picks_several(part))
        }
    )


def _picks_several(part: Select) -> bool:
    """Whether it goes through a set of names, and so orders the features by their hashes."""
    return len(part.keys) > 1 and all(isinstance(key, str) for key in part.keys)


def _parts(model: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Go through a model and what it was made with; each part comes with its parameters."""
    pending, seen = [model], set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, list | tuple | set):
            pending += part
        elif given := parameters(part):
            pending += given.values()
            yield part, given


def parameters(part: Any) -> dict[str, Any]:
    """Read what a River object or a scikit-learn estimator was made with."""
    if isinstance(part, base.Base):
        names = inspect.signature(type(part)).parameters
        given = {name: getattr(part, name, None) for name in names}
        if isinstance(part, STREAMKMeans):  # passes its other arguments on to KMeans
            given = {**given, "seed": None, **part.kwargs}
        return given
    if hasattr(part, "get_params") and not inspect.isclass(part):
        return dict(part.get_params(deep=False))
    return {}
