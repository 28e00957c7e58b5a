"""The table of a run: faults by invariants, in Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.faults.run import Result

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7")
BEGIN, END = "<!-- the table of make faults -->", "<!-- its end -->"


def table(results: Sequence[Result]) -> str:
    """A row for each fault: which invariants held in all of its runs, and how long it was silent.

    `stuck` counts the runs that did not come to their end; I7 is shown for the soak alone.
    """
    soaks = [result.fault.startswith("soak") for result in results]
    shown = [each for each in INVARIANTS if each != "I7" or any(soaks)]
    stuck = any(result.error is not None for result in results)
    rows = [["fault", "times run", *shown, *(["stuck"] if stuck else []), "seconds of silence"]]
    rows += [
        _row(name, [result for result in results if result.fault == name], shown, stuck=stuck)
        for name in dict.fromkeys(result.fault for result in results)
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def summary(results: Sequence[Result]) -> str:
    """How much was run, and how busy the machine was."""
    cells = len({(result.fault, result.variant) for result in results})
    bad = sum(not result.good for result in results)
    hours = sum(result.seconds for result in results) / 3600
    loads = sorted(result.load for result in results if result.load)
    busy = (
        f", load average {loads[len(loads) // 2]:.0f} (from {loads[0]:.0f} to {loads[-1]:.0f})"
        if loads
        else ""
    )
    return (
        f"{len(results)} runs of {cells} cells, {hours:.1f} hours in all, {bad} of them not good; "
        f"{os.cpu_count()} processors{busy}."
    )


def write(file: Path, results: Sequence[Result]) -> None:
    """Put summary and table into a document, in place of those before."""
    text = file.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{file} has no lines {BEGIN} and {END}")
    file.write_text(f"{before}{BEGIN}\n{summary(results)}\n\n{table(results)}\n{END}{after}")


def _row(name: str, results: list[Result], shown: list[str], *, stuck: bool) -> list[str]:
    silences = sorted(each.seconds for result in results for each in result.recoveries)
    middle = f"{silences[len(silences) // 2]:.1f}, at most {silences[-1]:.1f}" if silences else "-"
    failed = sum(result.error is not None for result in results)
    return [
        name,
        str(len(results)),
        *(_held(name, each, results) for each in shown),
        *([str(failed or "-")] if stuck else []),
        middle,
    ]


def _held(name: str, invariant: str, results: list[Result]) -> str:
    broke = sum(any(v.invariant == invariant for v in result.violations) for result in results)
    if broke:
        return f"**{broke} broke**"
    if invariant == "I6":
        bounds = sum(each.within is not None for result in results for each in result.recoveries)
        late = sum(len(result.late()) for result in results)
        return "-" if not bounds else f"{late} of {bounds} late" if late else "holds"
    if invariant == "I7" and not name.startswith("soak"):
        return "-"
    # What a run that was stuck did not come to verify, nobody knows.
    return "holds" if any(result.error is None for result in results) else "?"
