"""What the measurements come to: ratios first, everything else after them."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.latency import Latency

_PACKAGES = ("confluent-kafka", "river", "scikit-learn", "orjson", "numpy")


@dataclass(frozen=True)
class Comparison:
    """Two contenders, and what the one should reach of the other's rate."""

    of: str
    to: str
    floor: float | None = None


@dataclass(frozen=True)
class Ratio:
    """A comparison's outcome: `value` is the median over rounds of the ratio within a round."""

    comparison: Comparison
    value: float
    lowest: float
    highest: float

    @property
    def met(self) -> bool | None:
        """Whether the floor is reached; None where there is none."""
        floor = self.comparison.floor
        return None if floor is None else self.value >= floor


@dataclass(frozen=True)
class Results:
    """Everything that was measured; lists hold one value for each round."""

    comparisons: Sequence[Comparison]
    counts: Mapping[str, int]
    """Workload to number of events in a run."""
    rates: Mapping[str, Sequence[float]]
    """Contender to events a second."""
    latencies: Mapping[str, Sequence[Latency]]
    load: float
    """Events a second under which the latencies were measured."""
    rows: Sequence[Mapping[str, Mapping[str, float]]]
    """Model to batch size to microseconds a row."""

    def ratios(self) -> list[Ratio]:
        """Each comparison, round by round: what slows a round down slows both of its sides."""
        found = []
        for comparison in self.comparisons:
            pairs = zip(self.rates[comparison.of], self.rates[comparison.to], strict=True)
            each = [of / to for of, to in pairs]
            found.append(Ratio(comparison, median(each), min(each), max(each)))
        return found

    def latency(self, name: str) -> Latency:
        """Median over rounds of each figure."""
        fields = Latency.__dataclass_fields__
        each = self.latencies[name]
        return Latency(**{key: median(getattr(one, key) for one in each) for key in fields})

    def cost_per_row(self) -> dict[str, dict[str, float]]:
        """Median over rounds of microseconds a row, by model and batch size."""
        return {
            model: {size: median(one[model][size] for one in self.rows) for size in sizes}
            for model, sizes in self.rows[0].items()
        }

    def document(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "machine": machine(),
            "events": dict(self.counts),
            "ratios": [
                {
                    "of": ratio.comparison.of, "to": ratio.comparison.to, "ratio": ratio.value,
                    "lowest": ratio.lowest, "highest": ratio.highest,
                    "floor": ratio.comparison.floor, "met": ratio.met,
                }
                for ratio in self.ratios()
            ],
            "latency_ms": {
                name: {**vars(self.latency(name)), "events_per_second": self.load}
                for name in self.latencies
            },
            "microseconds_per_row": self.cost_per_row(),
            "rates": {name: list(each) for name, each in self.rates.items()},
        }  # fmt: skip


def machine() -> dict[str, Any]:
    """What it was measured on and with."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }
