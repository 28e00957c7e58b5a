"""What a worker costs inside Faust: `python -m benchmarks.faust_cost`, two minutes.

Beside an agent of the same `take` that does next to nothing; see faust_agent.py.
"""

from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import child
from benchmarks.contenders import Contender, Millstream
from benchmarks.measure import interleaved
from benchmarks.rates import Measure, Run, rate_of
from benchmarks.results import Comparison, Results, machine
from benchmarks.stage import Stage, open_stage
from benchmarks.workloads import Workload, learning

WORKER = "worker inside Faust"
TRIVIAL = "trivial agent"
ALONE = "worker without Faust, at least once"
COMPARISONS = (
    Comparison(WORKER, TRIVIAL, floor=0.8),
    Comparison(WORKER, ALONE),
)


class Agent:
    """A bare Faust agent; see faust_agent.py."""

    def __init__(self, stage: Stage, workload: Workload, name: str, measure: Measure) -> None:
        self.name = name
        self._stage, self._workload, self._measure = stage, workload, measure

    def run(self) -> Run:
        """Start it on the same events."""
        stage, measure = self._stage, self._measure
        app = stage.app(self._workload, events=measure.events)
        loop = child.Loop(
            "faust_agent", app.file.with_suffix(".log"), bootstrap=stage.kafka.bootstrap,
            group=app.name, events=app.events, predictions=app.topic("predictions"),
        )  # fmt: skip
        try:
            return rate_of(loop, stage.kafka, app.topic("predictions"), measure)
        finally:
            stage.discard(app)


def contenders(stage: Stage, measure: Measure) -> list[Contender]:
    """Everyone, in the order of a round."""
    work = learning()
    return [
        Agent(stage, work, TRIVIAL, measure),
        Millstream(stage, work, "at_least_once", WORKER, measure, runner="faust"),
        Millstream(stage, work, "at_least_once", ALONE, measure),
    ]


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    events: Annotated[int, typer.Option(min=20_000)] = 60_000,
) -> None:
    """Compare, and print ratios before rates."""
    console = Console(highlight=False)
    with open_stage() as stage:
        runs = interleaved(
            rounds,
            {each.name: each.run for each in contenders(stage, Measure(events))},
            lambda name, one: console.print(f"{name}: {one.rate:,.0f} events/s", style="dim"),
        )
    rates = {name: [run.rate for run in each] for name, each in runs.items()}
    table = Table("what", "to", "ratio", "from - to", "floor")
    for ratio in Results(COMPARISONS, rates=rates).ratios():
        met = {None: "", True: "met", False: "NOT met"}[ratio.met]
        table.add_row(
            ratio.comparison.of, ratio.comparison.to, f"{ratio.value:.2f}",
            f"{ratio.lowest:.2f} - {ratio.highest:.2f}", f"{ratio.comparison.floor or ''} {met}",
        )  # fmt: skip
    console.print(table)
    for name, each in rates.items():
        cost = 1e6 / median(each)
        console.print(f"{name}: {median(each):,.0f} events/s, {cost:.0f} µs an event")
    console.print("; ".join(f"{name} {value}" for name, value in machine().items()), style="dim")


if __name__ == "__main__":
    typer.run(main)
