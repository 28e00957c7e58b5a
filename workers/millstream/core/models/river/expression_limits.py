"""Limits of the size of River expressions: a few characters can make a billion models.

Whole numbers are literals there, so their total is known before anything is made.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

MAX_INTEGER: Final = 2**32
"""Any whole number; seeds are among them, and NumPy takes none larger."""
MAX_COUNT: Final = 100_000
"""Parameters that count (`n_clusters`, `n_components`): something is kept for each."""
MAX_OBJECTS: Final = 10_000
"""Objects that an expression makes, those that an ensemble makes of its model included."""
MAX_CALLS: Final = 10
"""Calls inside calls: models that keep a copy of their model double with each."""
MAX_GRID: Final = 500
"""Models of one `utils.expand_param_grid`."""

_COPIES: Final = ("n_models", "n_trees", "n_estimators", "code_size")
"""Parameters that say how many models are made of the one that is given."""
_LIMITS: Final = {
    "n_features": MAX_INTEGER,  # of FeatureHasher: a modulus, of which nothing is kept
    # An ensemble asks all of its models about each event.
    **dict.fromkeys(("n_models", "n_trees", "n_estimators"), 1_000),
    "height": 20,  # of trees with two branches at each step
    "code_size": 20,  # 2 ** code_size codes
    **dict.fromkeys(("p", "d", "q", "m", "sp", "sd", "sq"), 1_000),  # lags of time series
}


class TooMuchError(ValueError):
    """An expression asks for more than it may; the message says of what, and the bound."""


class Budget:
    """Counts what an expression makes, before it is made."""

    def __init__(self) -> None:
        self._calls = 0
        self._copies = 1
        """That the ensembles around the place that is read make of what stands there."""
        self._objects = 0

    @contextmanager
    def call(
        self, given: Mapping[str, ast.expr], parameters: Mapping[str, inspect.Parameter]
    ) -> Iterator[None]:
        """Around the reading of a call's arguments; raises `TooMuchError`."""
        for name, value in given.items():
            check_size(name, value)
        outside = self._copies
        self._copies *= _copies(given, parameters)
        self._objects += self._copies
        self._calls += 1
        if self._objects > MAX_OBJECTS:
            raise TooMuchError(f"more than {MAX_OBJECTS:,} models and parts of models")
        if self._calls > MAX_CALLS:
            raise TooMuchError(f"models inside models, more than {MAX_CALLS} deep")
        yield
        self._copies = outside
        self._calls -= 1


def check_size(name: object, value: ast.expr) -> None:
    """Look at the whole numbers that stand for a parameter; raises `TooMuchError`."""
    most = _LIMITS.get(str(name), MAX_COUNT if str(name).startswith("n_") else MAX_INTEGER)
    if any(number > most for number in _whole_numbers(value)):
        raise TooMuchError(f"{name} may be {most:,} at most")


def check_grid(grid: Any) -> None:
    """Look at an argument of `utils.expand_param_grid`; raises `TooMuchError`."""
    if _grid_size(grid) > MAX_GRID:
        raise TooMuchError(f"a grid of more than {MAX_GRID:,} models")


def _whole_numbers(node: ast.expr) -> list[int]:
    """List those that stand for a parameter: one, or those of a list."""
    if isinstance(node, ast.UnaryOp):
        return _whole_numbers(node.operand)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [number for item in node.elts for number in _whole_numbers(item)]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [node.value]
    return []


def _copies(given: Mapping[str, ast.expr], parameters: Mapping[str, inspect.Parameter]) -> int:
    """How many models a call makes of the one in its arguments, by its own defaults too."""
    most = 1
    for name in _COPIES:
        if name in given:
            most = max(most, *_whole_numbers(given[name]), 1)
        elif name in parameters and type(parameters[name].default) is int:
            most = max(most, parameters[name].default)
    return most


def _grid_size(grid: Any) -> int:
    """How many models `utils.expand_param_grid` makes of a grid (or of a part of one)."""
    if isinstance(grid, dict):
        size = 1
        for values in grid.values():
            size *= _grid_size(values)
        return size
    if isinstance(grid, tuple) and len(grid) == 2:  # a class and the grid of its parameters
        return _grid_size(grid[1])
    if isinstance(grid, list | set):
        return sum(_grid_size(each) if isinstance(each, tuple) else 1 for each in grid)
    return 1
