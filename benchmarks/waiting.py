"""What it costs to keep waiting predictions on disk rather than in memory; no Kafka.

    python -m benchmarks.waiting [--waiting 1000000] [--pairs 30000] [--rounds 3]

A store is filled with so many waiting predictions; then the worker's own shard works off an event
and a label at a time, so that as many go on waiting. Labels come for the oldest predictions, or for
any (the hardest for a disk). The other side of the ratio is the same shard with its predictions in
memory, of which there are no more than `--in-memory`, since ten million take 8 GB, and are slower
than a few. `--all --part waiting` keeps the same for the report.
"""

from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import child
from benchmarks.waiting_pairs import BATCH, Figures, Kind, Order

ORDERS: tuple[Order, ...] = ("oldest first", "any")
PAIRS, IN_MEMORY = 30_000, 200_000
Count = Annotated[int, typer.Option(min=1)]


def main(
    waiting: Count = 1_000_000,
    pairs: Count = PAIRS,
    rounds: Count = 3,
    in_memory: Count = IN_MEMORY,
) -> None:
    """Print a table."""
    console = Console(highlight=False)
    table = Table(title="waiting predictions", title_justify="left", title_style="bold")
    for column in ("labels come for", "disk : memory", "disk, µs", "memory, µs", "fill, µs",
                   "memory of the process, MB", "file, MB", "slowest batch, ms"):  # fmt: skip
        table.add_column(column, justify="left" if column == "labels come for" else "right")
    for order in ORDERS:
        found = [(run("memory", min(in_memory, waiting), pairs, order),
                  run("disk", waiting, pairs, order)) for _ in range(rounds)]  # fmt: skip
        ratio = median(disk.pair / memory.pair for memory, disk in found)
        disk = [each for _, each in found]
        table.add_row(
            order, f"{ratio:.2f}", f"{median(d.pair for d in disk):.1f}",
            f"{median(memory.pair for memory, _ in found):.1f}",
            f"{median(d.fill for d in disk):.1f}", f"{max(d.memory for d in disk):,.0f}",
            f"{max(d.disk for d in disk):,.0f}", f"{max(d.slowest for d in disk):.0f}",
        )  # fmt: skip
    console.print(f"{waiting:,} wait; an event and a label at a time, {BATCH} pairs a batch")
    console.print(table)


def run(kind: Kind, waiting: int, pairs: int, order: Order) -> Figures:
    """One store, in a process of its own."""
    found = child.run("waiting_pairs", kind=kind, waiting=waiting, pairs=pairs, order=order)
    return Figures(**found)


if __name__ == "__main__":
    typer.run(main)
