"""`millstream rebuild`: learns again from the log, with another model or without a range."""

import time
from typing import Annotated

import orjson
import typer
from confluent_kafka import Consumer, KafkaException
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from millstream.artifacts.loader import learner_factory
from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.config.settings import Settings
from millstream.core.records.outputs import SMALL_BYTES
from millstream.errors import SettingsError, Stop
from millstream.kafka.admin import connect, describe, reason, topic_ids
from millstream.kafka.client_config import consumer_config, producer_config, reader_config
from millstream.kafka.producer import ConfirmedWriter, NotWritten
from millstream.kafka.topic_layout import needed_topics, require_topics
from millstream.observability.metrics import Metrics
from millstream.operations.rebuild import LogPoint, Rebuild, RebuiltModel
from millstream.snapshots.files import SnapshotFiles
from millstream.snapshots.writer import SnapshotWriter
from millstream.state.ports import TopicFacts
from millstream.state.restore_context import KafkaRestoreContext

From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="POINT",
        help="Where in the training log to begin: start, end (learn nothing: begin afresh), an "
        "offset, or a time such as 2026-01-31T12:00 (UTC).",
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FROM..TO", help="Leave this stretch out (TO is not part of it); may be repeated."
    ),
]
Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="This one only; may be repeated.")
]


def rebuild(
    settings_file: SettingsFile,
    since: From = "start",
    skip: Skip = None,
    partition: Partitions = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Let the model of the settings learn from the training log, in place of the one before.

    For a model whose definition has changed, and for labels that were wrong (--skip). The log is
    the events where labels are inside them, else the examples. Stop all workers first; the
    predictions that were made stay as they are.
    """
    settings = load_for_command(settings_file)
    start = _point(since, "--from")
    skips = [_stretch(text) for text in skip or ()]
    offsets = [start, *(point for each in skips for point in each)]
    rebuilder, count = _open(settings)
    numbers = partition or list(range(count))
    if bad := [number for number in numbers if number >= count]:
        raise SettingsError(f"--partition {bad[0]}: there are {count}, from 0 on")
    if len(numbers) > 1 and any(isinstance(point.at, int) for point in offsets):
        raise SettingsError(
            f"an offset means something in one partition only: name it with --partition (there are "
            f"{count}), or give a time"
        )
    try:
        rebuilder.check_idle()
        if not yes:
            typer.confirm(
                f"Make the model of app {settings.app} anew, on {len(numbers)} of {count} "
                "partitions?",
                abort=True,
                err=True,
            )
        _run(rebuilder, numbers, start, skips, as_json=as_json)
    except KafkaException as error:
        raise Stop(f"nothing of this partition has changed: {reason(error)}") from error
    except NotWritten as error:
        raise Stop(f"nothing of this partition has changed: {error}") from error


def _run(
    rebuilder: Rebuild,
    numbers: list[int],
    start: LogPoint,
    skips: list[tuple[LogPoint, LogPoint]],
    *,
    as_json: bool,
) -> None:
    columns = (TextColumn("partition {task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=as_json) as bar:
        for number in numbers:
            task = bar.add_task(str(number), total=None)

            def show(_: int, done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done, total=total)

            made = rebuilder.partition(number, start, skips, show)
            bar.remove_task(task)
            _print(number, made, as_json=as_json)


def _print(number: int, made: RebuiltModel | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps({"partition": number} if made is None else made.__dict__))
    elif made is None:
        console.print(f"partition {number}: nothing was worked off yet")
    else:
        left_out = "".join(f", without {a}..{b}" for a, b in made.skipped)
        console.print(
            f"partition {number}: version {made.version} learned {made.learned:,} examples of "
            f"offsets {made.log_from}..{made.log_to}{left_out}"
        )


def _open(settings: Settings) -> tuple[Rebuild, int]:
    admin = connect(settings)
    require_topics(settings, admin)
    build = learner_factory(settings)
    events = settings.events.topic
    count = describe(admin, [events], configs=False)[events].partitions
    told = TopicFacts(count, topic_ids(admin, needed_topics(settings).values()), 2 * SMALL_BYTES)
    context = KafkaRestoreContext(
        settings, build, admin, reader_config(settings), None, told, Metrics()
    )
    topic = ConfirmedWriter(producer_config(settings, None), settings.topic("models"))
    store = settings.snapshots.store
    files = None if store is None else SnapshotFiles(store, settings.app)
    writer = SnapshotWriter(settings.snapshots, topic, files, build)
    consumer = Consumer(consumer_config(settings))
    return Rebuild(context, consumer, topic, writer, lambda: time.time_ns() // 1_000_000), count


def _point(text: str, option: str) -> LogPoint:
    try:
        return LogPoint.parse(text)
    except ValueError as error:
        raise SettingsError(
            f"{option} {text}: write start, end, an offset, or a time such as 2026-01-31T12:00"
        ) from error


def _stretch(text: str) -> tuple[LogPoint, LogPoint]:
    first, dots, last = text.partition("..")
    if not dots:
        raise SettingsError(f"--skip {text}: write FROM..TO, such as 1200..1350")
    return _point(first, "--skip"), _point(last, "--skip")
