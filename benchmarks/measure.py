"""What is measured, and in which order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from benchmarks import child, latency
from benchmarks.contenders import BareRiver, Contender, Millstream, PlainLoop
from benchmarks.rates import Run
from benchmarks.results import Comparison, Results
from benchmarks.same import check_same
from benchmarks.stage import Stage, open_stage
from benchmarks.workloads import learning, static

Say = Callable[[str], None]
T = TypeVar("T")

# Names of contenders; those of a guarantee are Millstream's.
BARE = "bare River loop"
ONCE = "learning, exactly once"
LEAST = "learning, at least once"
PLAIN = "plain loop"
STATIC_ONCE = "static, exactly once"
STATIC_LEAST = "static, at least once"

COMPARISONS = (
    Comparison(ONCE, BARE, floor=0.6),
    Comparison(LEAST, BARE),
    Comparison(ONCE, LEAST),
    Comparison(STATIC_ONCE, PLAIN),
    Comparison(STATIC_LEAST, PLAIN),
)
SAME = (
    (ONCE, BARE, 0.0),
    (LEAST, BARE, 0.0),
    (STATIC_ONCE, PLAIN, 1e-12),
    (STATIC_LEAST, PLAIN, 1e-12),
)
"""Who has to publish the same, and to which relative tolerance."""
LOAD = 0.5
"""Latencies are measured under this share of the exactly-once rate."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    events: int
    """In a run of the learning workload; a static model gets twice as many, as it is faster."""
    latency_seconds: float
    batch_sizes: tuple[int, ...] = (1, 64, 512, 4096)


def measure(sizes: Sizes, say: Say) -> Results:
    """Measure everything; `say` is told what was found as it is found."""
    counts = {"learning": sizes.events, "static": 2 * sizes.events}
    with open_stage(counts) as stage:
        runs = interleaved(
            sizes.rounds, {each.name: each.run for each in contenders(stage)}, _rate_to(say)
        )
        last = {name: each[0].last for name, each in runs.items()}
        for one, other, tolerance in SAME:
            check_same(f"{one!r} and {other!r}", last[one], last[other], tolerance=tolerance)
        rates = {name: [run.rate for run in each] for name, each in runs.items()}
        load = LOAD * median(rates[ONCE])
        latencies = interleaved(
            sizes.rounds,
            {
                ONCE: lambda: latency.measure(
                    stage, learning(), "exactly_once", rate=load, seconds=sizes.latency_seconds
                )
            },
            lambda name, one: say(f"{name}: p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms"),
        )
    rows = interleaved(
        sizes.rounds,
        {"rows": lambda: child.run("rows", sizes=sizes.batch_sizes)},
        lambda *_: say("static models: cost per row"),
    )
    return Results(COMPARISONS, counts, rates, latencies, load, rows["rows"])


def contenders(stage: Stage) -> list[Contender]:
    """Everyone whose rate is measured, in the order of a round."""
    learns, fixed = learning(), static(stage.folder)
    return [
        BareRiver(stage, learns, BARE),
        Millstream(stage, learns, "exactly_once", ONCE),
        Millstream(stage, learns, "at_least_once", LEAST),
        PlainLoop(stage, fixed, PLAIN),
        Millstream(stage, fixed, "exactly_once", STATIC_ONCE),
        Millstream(stage, fixed, "at_least_once", STATIC_LEAST),
    ]


def interleaved(
    rounds: int, measurements: Mapping[str, Callable[[], T]], done: Callable[[str, T], None]
) -> dict[str, list[T]]:
    """Measure each once, then each once more, and so on, so that all share good and bad minutes."""
    found: dict[str, list[T]] = {name: [] for name in measurements}
    for number in range(rounds):
        for name, measurement in measurements.items():
            found[name].append(measurement())
            done(f"round {number + 1} of {rounds}, {name}", found[name][-1])
    return found


def _rate_to(say: Say) -> Callable[[str, Run], None]:
    return lambda name, run: say(f"{name}: {run.rate:,.0f} events/s")
