"""Two checkouts of Millstream in turn on one broker: whether a change costs speed.

    python -m benchmarks.commits ../another-checkout [--rounds 5] [--seconds 6]

Prints the rates of both, and the median, lowest and highest ratio of this checkout to the other.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from tests.support.kafka.app import App
from tests.support.kafka.worker import WorkerProcess

from benchmarks import latency
from benchmarks.contenders import Millstream
from benchmarks.measure import interleaved
from benchmarks.rates import Measure
from benchmarks.stage import Stage, open_stage
from benchmarks.warm_up import warm_up
from benchmarks.workloads import Workload, delayed, learning, static

RATES: Final = {"exactly once": 60_000, "late labels": 12_000, "static": 90_000}
"""Events a second that each does, about: how many events a run gets."""
BEHIND: Final = 10_000
"""By how many events a late label follows its event."""
LATENCY_RATE: Final = 2_000


class Checkout(Millstream):
    """The worker of a checkout."""

    def __init__(
        self, stage: Stage, workload: Workload, name: str, measure: Measure, root: Path
    ) -> None:
        """`root`: of the checkout."""
        super().__init__(stage, workload, "exactly_once", name, measure)
        self._path = str(root.resolve() / "workers")

    def program(self, app: App) -> WorkerProcess:
        """The worker, imported from that checkout."""
        log = app.file.with_suffix(".log")
        return WorkerProcess(app.file, log=log, env={"PYTHONPATH": self._path}, fresh=True)


def main(
    other: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    *,
    rounds: int = 5,
    seconds: float = 6,
) -> None:
    """Measure this checkout and another one in turn, in the same session."""
    roots = {"this": Path(__file__).parents[1], "other": other}
    with open_stage() as stage:
        warm_up(stage)
        works = {
            "exactly once": learning(),
            "late labels": delayed(BEHIND),
            "static": static(stage.folder),
        }
        for name, workload in works.items():
            measure = Measure(round(RATES[name] * seconds / 1000) * 1000)
            runs = interleaved(
                rounds,
                {
                    side: Checkout(stage, workload, side, measure, root).run
                    for side, root in roots.items()
                },
                lambda said, run: print(f"  {said}: {run.rate:,.0f} events/s", flush=True),
            )
            _show(name, [run.rate for run in runs["this"]], [run.rate for run in runs["other"]])
        waits = interleaved(
            rounds,
            {side: _latency(stage, side, root, seconds) for side, root in roots.items()},
            lambda said, p99: print(f"  {said}: p99 {p99:.1f} ms", flush=True),
        )
        _show(f"p99 at {LATENCY_RATE}/s", waits["this"], waits["other"])


def _latency(stage: Stage, side: str, root: Path, seconds: float) -> Callable[[], float]:
    contender = Checkout(stage, learning(), side, Measure(0), root)
    return lambda: latency.measure(contender, rate=LATENCY_RATE, seconds=seconds).p99


def _show(name: str, this: list[float], other: list[float]) -> None:
    ratios = [a / b for a, b in zip(this, other, strict=True)]
    print(
        f"{name}: this / other {statistics.median(this) / statistics.median(other):.3f} "
        f"(of medians; by round {min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(main)
