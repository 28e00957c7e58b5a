"""`python -m benchmarks`: measure everything on a real Kafka, print ratios first."""

import sys
from typing import Annotated

import orjson
import typer
from rich.console import Console

from benchmarks.child import BenchmarkError
from benchmarks.measure import Sizes, measure
from benchmarks.report import show

FULL = Sizes(rounds=5, events=150_000, latency_seconds=10)
QUICK = Sizes(rounds=1, events=20_000, latency_seconds=2)

Rounds = Annotated[int | None, typer.Option(min=1, help=f"Default: {FULL.rounds}.")]
Events = Annotated[
    int | None,
    typer.Option(min=20_000, help=f"Events in a run with learning; default: {FULL.events}."),
]
Quick = Annotated[bool, typer.Option("--quick", help="See that it works; no figures to rely on.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def main(
    *, rounds: Rounds = None, events: Events = None, quick: Quick = False, as_json: AsJson = False
) -> None:
    """Compare Millstream with what it is built on, in one go on one Kafka.

    On the Kafka of KAFKA_BOOTSTRAP_SERVERS, or on one that is started for it.
    """
    sizes = QUICK if quick else FULL
    sizes = Sizes(rounds or sizes.rounds, events or sizes.events, sizes.latency_seconds)
    progress = Console(stderr=True, highlight=False)
    try:
        results = measure(sizes, progress.print)
    except (BenchmarkError, AssertionError) as error:  # the latter from the tests' own helpers
        progress.print(f"no result: {error}", markup=False)
        sys.exit(1)
    if as_json:
        print(orjson.dumps(results.document(), option=orjson.OPT_INDENT_2).decode())
    else:
        show(results, Console(highlight=False))


if __name__ == "__main__":
    typer.run(main)
