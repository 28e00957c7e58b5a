"""Contenders are only compared where they publish the same: a lazier document is cheaper."""

from collections.abc import Mapping
from typing import Any

from benchmarks.child import BenchmarkError

_OF_ONES_OWN = {"name", "version", "event_time", "predicted_at", "topic"}
"""Fields in which two who do the same work may differ."""


def check_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Compare two predictions on the same event, down to the last bit of their probabilities.

    Raises BenchmarkError that names the fields in which they differ.
    """
    differing = sorted(_differences(one, other))
    if differing:
        raise BenchmarkError(f"two contenders do not publish the same: {', '.join(differing)}")


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], under: str = "") -> set[str]:
    found = {under + key for key in one.keys() ^ other.keys()}
    for key in one.keys() & other.keys():
        here, there = one[key], other[key]
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found |= _differences(here, there, f"{under}{key}.")
        elif here != there and key not in _OF_ONES_OWN:
            found.add(under + key)
    return found
