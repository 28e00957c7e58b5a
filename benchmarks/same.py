"""Contenders are only compared where they publish the same: a lazier document is cheaper."""

from collections.abc import Mapping
from math import isclose
from typing import Any

from benchmarks.child import BenchmarkError
from benchmarks.rates import Run

_OF_ONES_OWN = {"name", "version", "event_time", "predicted_at", "topic"}
"""Fields in which two who do the same work may differ."""


def check_same(
    names: str, one: Mapping[str, Any], other: Mapping[str, Any], *, tolerance: float = 0.0
) -> None:
    """Compare the predictions of two, whose `names` are given for the message, on the same event.

    `tolerance` is relative. Without one, numbers have to agree to the last bit, as River's do;
    those of a vectorised call depend in that last bit on which rows were predicted together.
    Raises BenchmarkError that names the fields in which they differ.
    """
    differing = sorted(_differences(one, other, tolerance))
    if differing:
        raise BenchmarkError(f"{names} do not publish the same: {', '.join(differing)}")


def check_runs(names: str, one: Run, other: Run, *, tolerance: float = 0.0) -> None:
    """Compare two runs on the last event of which both kept the answer; raises BenchmarkError."""
    both = one.answers.keys() & other.answers.keys()
    if not both:
        raise BenchmarkError(f"{names} have no answer in common: measure more events")
    last = max(both)
    check_same(names, one.answers[last], other.answers[last], tolerance=tolerance)


def _differences(
    one: Mapping[str, Any], other: Mapping[str, Any], tolerance: float, under: str = ""
) -> set[str]:
    found = {under + key for key in one.keys() ^ other.keys()}
    for key in one.keys() & other.keys():
        here, there = one[key], other[key]
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found |= _differences(here, there, tolerance, f"{under}{key}.")
        elif key not in _OF_ONES_OWN and not _equal(here, there, tolerance):
            found.add(under + key)
    return found


def _equal(here: Any, there: Any, tolerance: float) -> bool:
    if type(here) is float and type(there) is float:
        return isclose(here, there, rel_tol=tolerance)
    return type(here) is type(there) and bool(here == there)
