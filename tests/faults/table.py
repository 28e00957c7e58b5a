"""The table of a run: faults by invariants, in Markdown."""

from collections.abc import Sequence

from tests.faults.run import Result

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I7")


def table(results: Sequence[Result]) -> str:
    """A row for each fault: which invariants held in all of its runs, and how long it was silent.

    `stuck` counts the runs that did not come to their end.
    """
    rows = [
        ["fault", "variants", "runs", *INVARIANTS, "stuck", "seconds until predictions flow again"]
    ]
    rows += [
        _row(name, [result for result in results if result.fault == name])
        for name in dict.fromkeys(result.fault for result in results)
    ]
    return "\n".join(
        f"| {' | '.join(row)} |" + ("\n|" + " --- |" * len(row) if row is rows[0] else "")
        for row in rows
    )


def _row(name: str, results: list[Result]) -> list[str]:
    broken = [
        sum(any(v.invariant == invariant for v in result.violations) for result in results)
        for invariant in INVARIANTS
    ]
    stuck = sum(result.error is not None for result in results)
    # What a run that was stuck did not come to verify, nobody knows.
    held = [f"**{n} broke**" if n else "holds" if stuck < len(results) else "?" for n in broken]
    if not name.startswith("soak"):
        held[INVARIANTS.index("I7")] = "-"
    seconds = sorted(each.seconds for result in results for each in result.recoveries)
    middle = f"{seconds[len(seconds) // 2]:.1f} (most {seconds[-1]:.1f})" if seconds else "-"
    variants = len({result.variant for result in results})
    return [name, str(variants), str(len(results)), *held, str(stuck or "-"), middle]
