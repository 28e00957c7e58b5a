"""`millstream send`: publish records as events, and their labels later or by themselves."""

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, NamedTuple

import typer
from pydantic import TypeAdapter, ValidationError
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from millstream.cli.console import SettingsFile, console, load_for_command
from millstream.cli.message_sender import MessageSender, SendClock
from millstream.config.settings import Settings
from millstream.core.spec import Milliseconds
from millstream.errors import EXIT_INTERRUPTED, SettingsError, Stop
from millstream.kafka.admin import connect, describe
from millstream.kafka.topic_layout import TopicsNotReady, needed_topics
from millstream.sources.arrivals import DelayedLabels, only_labels, require_json
from millstream.sources.event_mapping import EventMapper
from millstream.sources.label_mapping import LabelMapper
from millstream.sources.readers import OpenSource, Row, open_source


class To(StrEnum):
    """The topic that records are for."""

    EVENTS = "events"
    LABELS = "labels"


LabelsAfter = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="EVENTS",
        help="Send each label this many events after its own. At most 1,000 events a second, "
        "so that each has a message time of its own.",
    ),
]
LabelsDelay = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Send each label this long after its event: 30s."),
]
FirstId = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**63 - 1,
        metavar="N",
        help="Number of the first record, where records have no ids of their own.",
    ),
]


def send(  # noqa: PLR0913, PLR0917 - typer makes options of them
    settings_file: SettingsFile,
    source: Annotated[
        str,
        typer.Argument(
            help="A .csv or .jsonl file, - for JSON Lines on stdin, or a data set that ships with "
            "River, such as river:Phishing."
        ),
    ],
    to: Annotated[
        To,
        typer.Option(
            help="Which topic the records are for: events; or labels, each with the id of an event "
            "and its label, which was sent before or is still to come."
        ),
    ] = To.EVENTS,
    labels_after: LabelsAfter = None,
    labels_delay: LabelsDelay = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Records per second.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more records.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Field for the key; a label needs that of its event.  [default: the id]",
        ),
    ] = None,
    first_id: FirstId = 1,
) -> None:
    """Publish records as events, laid out as the settings say, keyed by id, placed by murmur2.

    A record without an id gets a running number, from --first-id on. Where the settings say
    labels.from: topic, the labels are sent too if --labels-after or --labels-delay says when; or by
    themselves, from a file of ids and labels, with --to labels.
    """
    settings = load_for_command(settings_file)
    if to is To.LABELS:
        if labels_after is not None or labels_delay is not None:
            raise SettingsError(
                "--labels-after and --labels-delay are for labels that are sent with their events: "
                "leave them out with --to labels, which sends each at once"
            )
        _require_labels(settings, str(settings_file))
        _send_labels(settings, source, LabelMapper(settings, key, first_id), rate, limit)
        return
    delay = _delay(settings, labels_after, labels_delay)
    require_json(settings, "events")
    if delay is not None:
        require_json(settings, "labels")
    labels = [str(settings.labels.topic)] if delay is not None else []
    _require([settings.events.topic, *labels], settings, str(settings_file))
    _send_events(settings, source, EventMapper(settings, key, first_id), delay, rate, limit)


class Delay(NamedTuple):
    """When a label follows its event: after so many events, or so many milliseconds."""

    events: int | None
    milliseconds: int | None


def _send_events(
    settings: Settings,
    source: str,
    mapper: EventMapper,
    delay: Delay | None,
    rate: float | None,
    limit: int | None,
) -> None:
    after, milliseconds = delay or (None, None)
    # Where the order rests on message times, each event needs one of its own.
    clock = SendClock(settings, rate, distinct=after is not None)
    messages = DelayedLabels(mapper, clock, after=after, delay=milliseconds)
    sender = MessageSender(settings, clock)

    def send_all() -> None:
        with open_source(source, mapper.is_id) as opened:
            _with_progress(sender, messages, opened, limit)

    def sum_up() -> None:
        sent = f"{sender.events} events to {settings.events.topic}"
        labels = f" and {sender.labels} labels to {settings.labels.topic}" if delay else ""
        console.print(f"sent {sent}{labels}{_numbered(mapper)}", soft_wrap=True, markup=False)
        if delay and sender.events and not sender.labels:
            typer.echo(
                f"millstream: none of the records has a field {settings.labels.label_path}, so no "
                "label was sent: labels.label names the field",
                err=True,
            )

    _run(
        sender, send_all, sum_up, lambda: f"{sender.events} events were sent before that"
        f"{_numbered(mapper)}",
    )  # fmt: skip


def _with_progress(
    sender: MessageSender, messages: DelayedLabels, source: OpenSource, limit: int | None
) -> None:
    """Send every row up to the limit, then the labels that are left."""
    total = min(filter(None, (source.total, limit)), default=None)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("events", total=total)
        rows_left = True

        def rows() -> Iterator[Row]:
            nonlocal task, rows_left
            yield from islice(source.rows, limit)
            progress.update(task, total=sender.events)
            task, rows_left = progress.add_task("last labels", total=len(messages.pending)), False

        for message in messages.messages(rows()):
            sender.send(message)
            if message.input_name == "events" or not rows_left:
                progress.advance(task)


def _send_labels(
    settings: Settings, source: str, mapper: LabelMapper, rate: float | None, limit: int | None
) -> None:
    """Send labels without their events, and say how many there were."""
    clock = SendClock(settings, rate)
    sender = MessageSender(settings, clock)

    def send_all() -> None:
        with open_source(source, mapper.is_id) as opened:
            for message in only_labels(mapper, clock, islice(opened.rows, limit)):
                sender.send(message)

    def sum_up() -> None:
        text = f"sent {sender.labels} labels to {settings.labels.topic}"
        console.print(text, soft_wrap=True, markup=False)
        if mapper.unlabelled:
            typer.echo(
                f"millstream: {mapper.unlabelled} records have no field "
                f"{settings.labels.label_path}, or nothing in it, and were left out: labels.label "
                "names the field",
                err=True,
            )

    _run(sender, send_all, sum_up, lambda: f"{sender.labels} labels were sent before that")


def _run(
    sender: MessageSender,
    send_all: Callable[[], None],
    sum_up: Callable[[], None],
    sent: Callable[[], str],
) -> None:
    """Send, wait for every delivery and report; what was sent before an error is in its text."""
    try:
        send_all()
    except Stop as stop:
        sender.finish()
        raise Stop(f"{stop} ({sent()})") from stop
    except KeyboardInterrupt as interrupt:
        sender.finish()
        sum_up()
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    sender.finish()
    sum_up()


def _require_labels(settings: Settings, settings_file: str) -> None:
    if settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings, so there is no topic of "
            "labels: leave out --to labels, or set labels.from: topic"
        )
    require_json(settings, "labels")
    _require([str(settings.labels.topic)], settings, settings_file)


def _numbered(mapper: EventMapper) -> str:
    if mapper.ids is None:
        return ""
    first, last = mapper.ids
    return f", with running numbers {first} to {last} as ids (next: --first-id {last + 1})"


def _delay(settings: Settings, after: int | None, delay: str | None) -> Delay | None:
    if after is None and delay is None:
        return None
    if after is not None and delay is not None:
        raise SettingsError("give one of --labels-after and --labels-delay, not both")
    if settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings, so no labels are sent "
            "later: leave out --labels-after and --labels-delay, or set labels.from: topic"
        )
    if delay is None:
        return Delay(after, None)
    try:
        return Delay(None, TypeAdapter(Milliseconds).validate_python(delay))
    except ValidationError as error:
        raise SettingsError(f"--labels-delay: {delay} is no duration: write 30s or 5m") from error


def _require(names: list[str], settings: Settings, settings_file: str) -> None:
    known = describe(connect(settings), names, configs=False)
    missing = [name for name in names if name not in known]
    if missing and not set(missing) <= set(needed_topics(settings).values()):
        raise Stop(
            f"topic {settings.labels.topic} does not exist, and this app does not read it "
            "(model.learn is false): create it with the app that learns from it"
        )
    if missing:
        raise TopicsNotReady([f"topic {name} does not exist" for name in missing], settings_file)
