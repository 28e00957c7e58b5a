"""`make faults`: runs the matrix, or a part of it, and prints a table of what held."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.clusters import Clusters
from tests.faults.fault import Fault
from tests.faults.matrix import FAULTS, choose
from tests.faults.results import append, load
from tests.faults.run import Result, run_cell
from tests.faults.scene import Variant
from tests.faults.soak import soak_fault
from tests.faults.table import summary, table, write

MOST_SHOWN = 20
"""Violations of a cell; one that is lost makes all that follow it wrong."""


def main() -> int:
    """Run what was chosen; 1 where an invariant did not hold."""
    options = _options()
    # A termination ends brokers and workers as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.known:
        results = [result for file in options.known for result in load(file)]
        return _tell(results, options.markdown)
    cells = _chosen(options)
    if options.list or not cells:
        print("\n".join(f"{fault.name} [{variant}]" for fault, variant in cells) or "none")
        return 0 if cells else 2
    results = []
    try:
        with Clusters() as clusters:
            for turn in range(options.repeat):
                for fault, variant in cells:
                    results.append(_run(fault, variant, clusters, options, options.seed + turn))
    except KeyboardInterrupt:
        print("interrupted; what ran until now:", file=sys.stderr)
    return _tell(results, options.markdown)


def _chosen(options: argparse.Namespace) -> list[tuple[Fault, Variant]]:
    faults = FAULTS if options.soak is None else [soak_fault(options.soak)]
    cells = choose(faults, options.only, options.skip, options.sample, options.seed)
    part, parts = map(int, options.part.split("/"))
    return cells[len(cells) * (part - 1) // parts : len(cells) * part // parts]


def _tell(results: list[Result], document: Path | None) -> int:
    print(f"\n{summary(results)}\n\n{table(results)}")
    if document is not None:
        write(document, results)
    return 0 if all(result.good for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults ARGS=...", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORDS",
        help="cells whose name holds these words, such as 'SIGKILL' or 'delayed, exactly once'; "
        "may be given more than once, and all have to be in it",
    )  # fmt: skip
    parser.add_argument(
        "--skip", action="append", default=[], metavar="WORDS", help="not those with these words"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default 1)")
    parser.add_argument("--repeat", type=int, default=1, help="times, each with another seed")
    parser.add_argument("--sample", type=int, help="only so many cells, chosen by the seed")
    parser.add_argument(
        "--part", default="1/1", metavar="K/N",
        help="the K-th of N parts, to be run side by side",
    )  # fmt: skip
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="no fault: I7 instead")
    parser.add_argument("--results", type=Path, metavar="FILE", help="add what each cell came to")
    parser.add_argument(
        "--from", dest="known", action="append", default=[], type=Path, metavar="FILE",
        help="run nothing: the table of what was written with --results",
    )  # fmt: skip
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE",
        help="put the table into a document too, such as docs/guarantees.md",
    )  # fmt: skip
    parser.add_argument(
        "--strict-times", action="store_true", help="I6 is enforced; for a machine that is quiet"
    )
    parser.add_argument("--list", action="store_true", help="only say which cells there are")
    return parser.parse_args()


def _run(
    fault: Fault, variant: Variant, clusters: Clusters, options: argparse.Namespace, seed: int
) -> Result:
    """Run a cell and tell how it went; what a failed one leaves is kept."""
    folder = Path(tempfile.mkdtemp(prefix="millstream-fault-"))
    result = run_cell(
        fault, variant, clusters, folder, seed, strict_times=options.strict_times, fresh=True
    )  # fmt: skip
    if options.results:
        append(options.results, result)
    recoveries = ", ".join(f"{each.seconds:.1f} s after {each.after}" for each in result.recoveries)
    print(
        f"{'ok  ' if result.good else 'FAIL'} {fault.name} [{variant}] "
        f"{result.seconds:.0f} s, {result.sent} events" + (f"; {recoveries}" if recoveries else ""),
        flush=True,
    )
    if result.story:
        print(f"     {', '.join(result.story)}", flush=True)
    if result.good:
        shutil.rmtree(folder)
        return result
    for violation in result.violations[:MOST_SHOWN]:
        print(f"     {violation}", flush=True)
    if len(result.violations) > MOST_SHOWN:
        print(f"     ... and {len(result.violations) - MOST_SHOWN} more", flush=True)
    if result.error:
        print(f"     {result.error.strip()}", flush=True)
    print(f"     seed {seed}; settings and logs are in {folder}", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
