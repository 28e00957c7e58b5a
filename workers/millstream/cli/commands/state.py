"""`millstream state`: offsets, lag and learned examples of each partition."""

from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from millstream.cli.console import (
    Json,
    SettingsFile,
    console,
    duration,
    load_for_command,
    size,
)
from millstream.cli.read_only import looking
from millstream.errors import Stop
from millstream.kafka.admin import connect
from millstream.operations.partition_state import InputState, PartitionState, StateReader
from millstream.state.restore_context import KafkaRestoreContext

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="This one only; may be repeated.")
]


def state(
    settings_file: SettingsFile,
    partition: Partitions = None,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Restore each shard as a worker would, for the digest of its weights, and how "
            "many predictions wait and labels are held.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show each shard: offsets and lag, examples learned, the newest snapshot.

    It works beside the workers and without any: it joins no group and writes nothing.
    """
    settings = load_for_command(settings_file)
    admin = connect(settings)
    context = looking(settings_file, settings, admin)
    reader = StateReader(context)
    try:
        processors = [
            reader.read(number, replay=replay) for number in chosen_partitions(context, partition)
        ]
    finally:
        reader.close()
        context.close()
    if as_json:
        for processor in processors:
            typer.echo(orjson.dumps(as_object(processor)).decode())
        return
    console.print(_table(processors, late=context.late, replay=replay))
    if any(processor.replayed is not None and processor.replayed.moved for processor in processors):
        console.print(
            "a worker is at work: what it committed meanwhile may be in the figures", soft_wrap=True
        )


def chosen_partitions(context: KafkaRestoreContext, wanted: list[int] | None) -> list[int]:
    """The partitions to show, all if none is named; raises `Stop` for an unknown one."""
    count = context.topics.partitions
    chosen = sorted(set(wanted or range(count)))
    if chosen[-1] >= count:
        raise Stop(
            f"{context.settings.events.topic} has no partition {chosen[-1]}: its partitions are "
            f"0 to {count - 1}"
        )
    return chosen


def as_object(processor: PartitionState) -> dict[str, Any]:
    """A partition for JSON; fields that need a replay are null without one."""
    replayed, snapshot = processor.replayed, processor.snapshot
    return {
        "partition": processor.partition,
        **{side: _side(each) for side, each in processor.sides.items()},
        "model_version": processor.model_version,
        "learned": None if replayed is None else replayed.learned,
        "digest": None if replayed is None else replayed.digest,
        "waiting": None if replayed is None else replayed.waiting,
        "held": None if replayed is None else replayed.held,
        "moved": None if replayed is None else replayed.moved,
        "snapshot": None if snapshot is None else {
            **snapshot.model_dump(exclude={"kind", "partition", "chunks"}), "age": processor.age,
        },
    }  # fmt: skip


def _side(side: InputState) -> dict[str, int | None]:
    return {"committed": side.committed, "end": side.end, "lag": side.lag}


def _table(processors: list[PartitionState], *, late: bool, replay: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    titles = ["partition", "events", "lag", *(["labels", "labels' lag"] if late else [])]
    titles += ["learned", "digest", "snapshot", "size"]
    for title in [*titles, *(["waiting", "held"] if late and replay else [])]:
        table.add_column(title, justify="left" if title in {"digest", "snapshot"} else "right")
    for processor in processors:
        cells = [str(processor.partition)]
        for each in processor.sides.values():
            cells += [_number(each.committed), _number(each.lag)]
        cells += [*_learned(processor), _snapshot(processor), _size(processor)]
        if late and processor.replayed is not None:
            cells += [_number(processor.replayed.waiting), _number(processor.replayed.held)]
        table.add_row(*map(Text, cells))
    return table


def _learned(processor: PartitionState) -> tuple[str, str]:
    """Examples and digest after the replay, else those of the snapshot."""
    if processor.replayed is not None:
        return _number(processor.replayed.learned), (processor.replayed.digest or "-")[:12]
    if processor.snapshot is not None:
        return f"{processor.snapshot.learned:,} then", processor.snapshot.digest[:12]
    return "-", "-"


def _snapshot(processor: PartitionState) -> str:
    if processor.snapshot is None or processor.age is None:
        return "none"
    return f"{duration(processor.age)} ago"


def _size(processor: PartitionState) -> str:
    return "-" if processor.snapshot is None else size(processor.snapshot.bytes)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
