"""Where the time goes between bytes in and bytes out, by stage; no Kafka.

    python -m benchmarks.core_path [--events 50000] [--rounds 5] [--batch 1024]

The worker's own shard works off records that are there already, first as a whole, then stage by
stage. Beside each stage stands what a bare loop needs for the same; the ratio is first. "around
the stages" is what the whole costs beyond them (it can be a little below zero: stage by stage, a
batch's objects fall out of the processor's caches in between), "garbage collection" what it costs
more when Python looks for cycles among what a batch holds on to.
"""

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.core_steps import (
    NOW,
    BareBatchSteps,
    BareSteps,
    ShardSteps,
    new_shard,
    settings_of,
    timed,
)
from benchmarks.workloads import Workload, learning, static
from millstream.artifacts.loader import learner_factory, load_model
from millstream.cli.worker_process import GC_THRESHOLDS
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import Record

Costs = dict[str, float]
"""Stage to microseconds an event."""

Count = Annotated[int, typer.Option(min=1)]


def whole(processor: PartitionProcessor, records: Sequence[Record], size: int) -> float:
    """Seconds for all records in batches of `size`; outputs are dropped, as after a commit."""
    began = time.perf_counter()
    for first in range(0, len(records), size):
        batch = records[first : first + size]
        result = processor.process({"events": batch}, {"events": True}, NOW)
        assert len(result.predictions) == len(batch)
    return time.perf_counter() - began


def profile(workload: Workload, events: int, size: int) -> tuple[Costs, Costs]:
    """The worker's costs and the bare ones, once."""
    settings = settings_of(workload)
    build, load = learner_factory(settings), load_model(settings.model)
    bare_steps = BareBatchSteps if build().traits.batched else BareSteps
    records = [
        Record(i, NOW, str(i).encode(), raw, None) for i, raw in enumerate(workload.events(events))
    ]
    collected = whole(new_shard(settings, build), records, size)
    gc.collect()
    gc.disable()
    try:
        total = whole(new_shard(settings, build), records, size)
        worker = timed(ShardSteps(new_shard(settings, build)), records, size)
        bare = timed(bare_steps(load()), records, size)
    finally:
        gc.enable()
    worker["around the stages"] = total - sum(worker.values())
    worker["garbage collection"] = collected - total
    return _per_event(worker, events), _per_event(bare, events)


def _per_event(seconds: dict[str, float], events: int) -> Costs:
    costs = {stage: value / events * 1e6 for stage, value in seconds.items()}
    return {**costs, "all": sum(costs.values())}


def show(name: str, rounds: Sequence[tuple[Costs, Costs]], console: Console) -> None:
    """Print the medians."""
    table = Table(title=f"{name}: cost per event", title_justify="left", title_style="bold")
    for column in ("stage", "worker : bare", "worker, µs", "bare, µs"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in rounds[0][0]:
        ours = median(worker[stage] for worker, _ in rounds)
        bare = median(bare.get(stage, 0.0) for _, bare in rounds)
        ratio = f"{ours / bare:.2f}" if bare > 0.01 else "-"
        table.add_row(stage, ratio, f"{ours:.2f}", f"{bare:.2f}")
    console.print(table)


def main(events: Count = 50_000, rounds: Count = 5, batch: Count = 1024) -> None:
    """Print a table for each workload."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    console = Console(highlight=False)
    with TemporaryDirectory() as folder:
        for workload in (learning(), static(Path(folder))):
            costs = [profile(workload, events, batch) for _ in range(rounds)]
            show(workload.name, costs, console)


if __name__ == "__main__":
    typer.run(main)
