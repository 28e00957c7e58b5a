"""`python -m benchmarks`: measure on a real Kafka, print ratios first, keep what was found."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from benchmarks.child import BenchmarkError
from benchmarks.measure import QUICK, Sizes
from benchmarks.page import write_page
from benchmarks.parts import PARTS
from benchmarks.parts.part import Part
from benchmarks.plots import draw
from benchmarks.report import show
from benchmarks.results import Results
from benchmarks.stage import open_stage
from benchmarks.warm_up import warm_up

SELECTION = Sizes(rounds=5, seconds=8, latency_seconds=10, memory_seconds=60)
ALL = Sizes(rounds=3, seconds=4, latency_seconds=5, memory_seconds=60)
HERE = Path(__file__).parent
OWN, PUBLISHED = HERE / ".results", HERE / "results"
"""Where files go: what someone measures, and what is part of the repository."""

Rounds = Annotated[
    int | None, typer.Option(min=1, help=f"Default: {SELECTION.rounds}; with --all {ALL.rounds}.")
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="What each is given to do, in seconds of two cores of a cloud machine; more on a "
        f"faster one. Default: {SELECTION.seconds}; with --all {ALL.seconds}.",
    ),
]
Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--part", help=f"Only this one of {', '.join(p.name for p in PARTS)}; repeatable."
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every part, and RESULTS.md anew.")]
Quick = Annotated[bool, typer.Option("--quick", help="See that it works; no figures to rely on.")]
Again = Annotated[
    bool, typer.Option("--report", help="Measure nothing: tables, plots and page from the files.")
]
Into = Annotated[
    Path | None,
    typer.Option(help="Folder of the files; default: benchmarks/.results, with --all results."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def main(
    *,
    rounds: Rounds = None,
    seconds: Seconds = None,
    part: Chosen = None,
    everything: All = False,
    quick: Quick = False,
    report: Again = False,
    into: Into = None,
    as_json: AsJson = False,
) -> None:
    """Compare Millstream with what it is built on, and with others, in one go on one Kafka.

    On the Kafka of KAFKA_BOOTSTRAP_SERVERS, or on one that is started for it.
    """
    progress = Console(stderr=True, highlight=False)
    sizes = QUICK if quick else ALL if everything else SELECTION
    sizes = replace(sizes, rounds=rounds or sizes.rounds, seconds=seconds or sizes.seconds)
    folder = into or (PUBLISHED if everything and not quick else OWN)
    try:
        chosen = _chosen(part, everything=everything)
        if not report:
            _measure(chosen, sizes, folder, progress, timed=not quick)
        found = _read(PARTS if everything else chosen, folder)
    except (BenchmarkError, AssertionError) as error:  # the latter from the tests' own helpers
        progress.print(f"no result: {error}", markup=False)
        sys.exit(1)
    for name, results in found.items():
        draw(results, folder / f"{name}.png")
    if everything:
        page = HERE / "RESULTS.md" if folder == PUBLISHED else folder / "RESULTS.md"
        write_page(page, folder, {each: found[each.name] for each in PARTS if each.name in found})
        progress.print(f"written: {page}")
    _print(found, as_json=as_json)
    progress.print(f"files and plots: {folder}")


def _chosen(names: list[str] | None, *, everything: bool) -> list[Part]:
    known = {part.name: part for part in PARTS}
    for name in names or []:
        if name not in known:
            raise BenchmarkError(f"there is no part {name!r}; there are {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    return list(PARTS) if everything else [known["selection"]]


def _measure(
    chosen: Sequence[Part], sizes: Sizes, folder: Path, progress: Console, *, timed: bool
) -> None:
    """`timed`: say beforehand how long it will take, and let the broker get warm."""
    minutes = 2 + sum(part.estimate(sizes) for part in chosen) / 60
    with open_stage() as stage:
        if timed:
            progress.print(f"about {minutes:.0f} minutes; more where environments are made first")
            warm_up(stage)
        for part in chosen:
            progress.print(f"{part.name}: {part.title}")
            results = part.measure(stage, sizes, lambda said: progress.print(said, markup=False))
            results.write(folder / f"{part.name}.json")


def _read(parts: Sequence[Part], folder: Path) -> dict[str, Results]:
    """What there is of these parts, measured now or before."""
    files = {part.name: folder / f"{part.name}.json" for part in parts}
    found = {name: Results.read(path) for name, path in files.items() if path.exists()}
    if not found:
        raise BenchmarkError(f"no results in {folder}: measure first, without --report")
    return found


def _print(found: dict[str, Results], *, as_json: bool) -> None:
    if as_json:
        documents = {name: results.document() for name, results in found.items()}
        print(orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode())
        return
    for results in found.values():
        show(results, Console(highlight=False))


if __name__ == "__main__":
    # So that what it started ends with it, and its topics are deleted, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    typer.run(main)
