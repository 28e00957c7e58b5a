"""`millstream evaluate`: the quality of an app on recorded data."""

import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.config.settings import Settings
from millstream.core.records.record import REASONS
from millstream.errors import SettingsError, Stop
from millstream.evaluation import Evaluation, Incoming, Report, evaluate
from millstream.kafka.admin import connect
from millstream.operations.topic_source import TopicSource
from millstream.sources.readers import RIVER

_FILES = {".csv", ".jsonl", ".ndjson", ".json"}

Labels = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|TOPIC",
        help="Messages of the topic of labels; of a file by their times.  [default for a "
        "topic: labels.topic]",
    ),
]
Truth = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="Field of the events to hold the predictions against, where the model learns "
        "from no label.",
    ),
]


def command(
    settings_file: SettingsFile,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|TOPIC",
            help="A .csv or .jsonl file, - for JSON Lines on stdin, a data set that ships with "
            "River, such as river:Phishing; or a topic, which is read to its end.",
        ),
    ],
    labels: Labels = None,
    labels_after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="EVENTS", help="Labels inside of a file come this many events later."
        ),
    ] = None,
    labels_delay: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Labels inside of a file come this much later: 30s."),
    ] = None,
    truth: Truth = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take no more events.")] = None,
    as_json: Json = False,
) -> None:
    """Run the app in memory over recorded events, and say how good it is.

    Nothing is published, and no offset committed. A file is one partition; of a topic, each
    partition has a model of its own, as it would in a worker.
    """
    try:
        settings = load_for_command(settings_file)
        if _is_file(source):
            report = evaluate(
                settings, source, labels, labels_after=labels_after, labels_delay=labels_delay,
                truth=truth, limit=limit,
            )  # fmt: skip
        elif labels_after is not None or labels_delay is not None:
            raise SettingsError(
                "--labels-after and --labels-delay are for files: labels of a topic came when "
                "they came"
            )
        else:
            report = _evaluate_topic(settings, source, labels, truth, limit)
    except Stop as stop:
        raise SettingsError(str(stop)) from stop
    if as_json:
        typer.echo(orjson.dumps(report.as_object()).decode())
    else:
        _show(report)


def _is_file(source: str) -> bool:
    return (
        source == "-" or source.startswith(RIVER) or "/" in source
        or Path(source).suffix.lower() in _FILES
    )  # fmt: skip


def _evaluate_topic(
    settings: Settings, events: str, labels: str | None, truth: str | None, limit: int | None
) -> Report:
    """Evaluate topics as a new worker would process them now."""
    if labels is not None and settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings: --labels only means "
            "something with labels.from: topic"
        )
    now = time.time_ns() // 1_000_000
    labels = labels or settings.inputs.get("labels")
    recorded = TopicSource(settings, connect(settings), events, labels)
    run = Evaluation(settings, partitions=recorded.partitions, truth=truth)
    for partition in range(recorded.partitions):
        for input_name in recorded.sides():
            for record in recorded.read(input_name, partition):
                if input_name == "events" and limit is not None and run.report.events >= limit:
                    break
                run.append(Incoming(input_name, partition, record))
    return run.finish(now)


def _show(report: Report) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    labels = f", {report.labels:,} labels" if report.labels else ""
    table.add_row("taken", f"{report.events:,} events{labels}")
    late = f", {report.waiting:,} still wait, {report.expired:,} expired"
    table.add_row(
        "predicted",
        f"{report.predictions:,}, learned {report.learned:,}"
        f"{late if report.labels or report.expired or report.waiting else ''}",
    )
    for name, value in report.metrics.items():
        table.add_row(name, f"{value:.6g}")
    about = f"{report.scored:,} predictions with a label"
    if report.without_answer:
        about += f"; {report.without_answer:,} more were made when the model knew nothing yet"
    if report.kind != "clusterer" or report.scored:
        table.add_row("of", about)
    for name, value in report.spread.items():
        table.add_row(name, f"{value:.6g}")
    for stage, reasons in report.dead_letters.items():
        for reason, amount in reasons.items():
            table.add_row(f"dead letters ({stage})", f"{amount:,} {reason}: {REASONS[reason][1]}")
    for reason, amount in report.skipped.items():
        table.add_row("skipped", f"{amount:,} {reason}")
    table.add_row("rate", f"{report.rate:,.0f} events/s, in this process and without a broker")
    console.print(table)
    if report.stops is not None:
        console.print(f"a worker would have stopped: {report.stops}", soft_wrap=True, markup=False)
