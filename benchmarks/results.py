"""What the measurements come to: ratios first, everything else after them; to a file and back."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import confluent_kafka
import orjson
from tests.support.kafka.fixture import SCRIPT

from benchmarks.latency import Latency

_PACKAGES = ("millstream", "confluent-kafka", "river", "scikit-learn", "orjson", "numpy")


@dataclass(frozen=True)
class Comparison:
    """Two contenders, and what the one should reach of the other's rate."""

    of: str
    to: str
    floor: float | None = None
    tolerance: float | None = 0.0
    """To which their answers have to be the same, relative; None: they have none to compare."""


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
class Limit:
    """What a latency, in ms, should not exceed."""

    name: str
    percentile: str
    """Field of `Latency`."""
    most: float


@dataclass(frozen=True)
class Results:
    """What a part of the measurements gave; lists hold one value for each round."""

    comparisons: Sequence[Comparison] = ()
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Contender to events a second."""
    latencies: Mapping[str, Sequence[Latency]] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)
    """Whose latencies were measured under how many events a second."""
    limits: Sequence[Limit] = ()
    rows: Sequence[Mapping[str, Mapping[str, float]]] = ()
    """Model to batch size to microseconds a row."""
    memory: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Contender to seconds since the load began, and megabytes."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Contender to why it does not count."""
    machine: Mapping[str, Any] = field(default_factory=lambda: machine())  # noqa: PLW0108 - it stands below
    measured: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")

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
        if not self.rows:
            return {}
        return {
            model: {size: median(one[model][size] for one in self.rows) for size in sizes}
            for model, sizes in self.rows[0].items()
        }

    def document(self) -> dict[str, Any]:
        """Everything, for a program; what it comes to before what it comes from."""
        return {
            "ratios": [
                {
                    "of": ratio.comparison.of, "to": ratio.comparison.to, "ratio": ratio.value,
                    "lowest": ratio.lowest, "highest": ratio.highest,
                    "floor": ratio.comparison.floor, "met": ratio.met,
                }
                for ratio in self.ratios()
            ],
            "latency_ms": {
                name: {**vars(self.latency(name)), "events_per_second": self.loads[name]}
                for name in self.latencies
            },
            "microseconds_per_row": self.cost_per_row(),
            **asdict(self),
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(self.document(), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` kept."""
        found = orjson.loads(path.read_bytes())
        return cls(
            comparisons=[Comparison(**each) for each in found["comparisons"]],
            rates=found["rates"],
            latencies={
                name: [Latency(**one) for one in each] for name, each in found["latencies"].items()
            },
            loads=found["loads"],
            limits=[Limit(**each) for each in found["limits"]],
            rows=found["rows"],
            memory={name: [(at, mb) for at, mb in each] for name, each in found["memory"].items()},
            failures=found["failures"],
            machine=found["machine"],
            measured=found["measured"],
        )


def machine() -> dict[str, Any]:
    """What it was measured on and with."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "Apache Kafka": _kafka(),
        "librdkafka": confluent_kafka.libversion()[0],
        **{name: version(name) for name in _PACKAGES},
    }


def _kafka() -> str:
    """Version of the Kafka that is started here; of one that is given, no client is told."""
    if "KAFKA_BOOTSTRAP_SERVERS" in os.environ:
        return "as given"
    default = re.search(r"^DEFAULT_VERSION=(.+)$", SCRIPT.read_text(), re.MULTILINE)
    return os.environ.get("KAFKA_LOCAL_VERSION") or (default[1] if default else "unknown")
