"""Which parts of a model draw random numbers that nobody seeded."""

import inspect
from typing import Any

from river import base


def unseeded(model: Any) -> list[str]:
    """Names of the classes in a model whose `seed` or `random_state` is left open, sorted.

    Such a model learns something else in every run, so its predictions cannot be reproduced.
    """
    found: set[str] = set()
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif parameters := _parameters(part):
            waiting += parameters.values()
            if any(name in parameters and parameters[name] is None for name in _SEEDS):
                found.add(type(part).__name__)
    return sorted(found)


_SEEDS = ("seed", "random_state")


def _parameters(part: Any) -> dict[str, Any]:
    """Read what a River object or a scikit-learn estimator was made with."""
    if isinstance(part, base.Base):
        return {
            name: getattr(part, name, None) for name in inspect.signature(type(part)).parameters
        }
    if hasattr(part, "get_params") and not inspect.isclass(part):
        return dict(part.get_params(deep=False))
    return {}
