"""`millstream send`: publish records as events, and their labels later."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from millstream.cli.console import SettingsFile, console, load_for_command
from millstream.cli.label_sender import send_labels
from millstream.cli.producer import CommandProducer
from millstream.config.settings import Settings
from millstream.core.spec import Milliseconds
from millstream.errors import EXIT_INTERRUPTED, SettingsError, Stop
from millstream.kafka.topics import TopicsNotReady, connect, describe
from millstream.sources.arrivals import require_json
from millstream.sources.event_mapping import EventMapper, MappedEvent, encode
from millstream.sources.label_mapping import LabelMapper
from millstream.sources.readers import OpenSource, open_source


class To(StrEnum):
    """What the records of a source are."""

    EVENTS = "events"
    LABELS = "labels"


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
    labels_after: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="EVENTS",
            help="Send each label this many events after its own. At most 1,000 events a second, "
            "so that each has a message time of its own.",
        ),
    ] = None,
    labels_delay: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Send each label this long after its event: 30s."),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Records per second.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more records.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Field for the key; a label needs that of its event.  [default: the id]",
        ),
    ] = None,
    first_id: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            metavar="N",
            help="Number of the first record, where records have no ids of their own.",
        ),
    ] = 1,
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
        send_labels(settings, source, LabelMapper(settings, key, first_id), rate, limit)
        return
    delay = _delay(settings, labels_after, labels_delay)
    require_json(settings, "events")
    if delay is not None:
        require_json(settings, "labels")
    labels = [str(settings.labels.topic)] if delay is not None else []
    _require([settings.events.topic, *labels], settings, str(settings_file))
    mapper = EventMapper(settings, key, first_id)
    sender = Sender(settings, mapper, delay, rate)
    try:
        with open_source(source, mapper.is_id) as opened:
            sender.send_all(opened, limit)
    except Stop as stop:
        sender.finish()
        before = f"{sender.events} events were sent before that{_numbered(mapper)}"
        raise Stop(f"{stop} ({before})") from stop
    except KeyboardInterrupt as interrupt:
        sender.finish()
        _sum_up(settings, sender, mapper)
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    sender.finish()
    _sum_up(settings, sender, mapper)


def _require_labels(settings: Settings, settings_file: str) -> None:
    if settings.labels.source != "topic":
        raise SettingsError(
            f"labels.from is {settings.labels.source} in these settings, so there is no topic of "
            "labels: leave out --to labels, or set labels.from: topic"
        )
    require_json(settings, "labels")
    _require([str(settings.labels.topic)], settings, settings_file)


def _sum_up(settings: Settings, sender: "Sender", mapper: EventMapper) -> None:
    labels = f" and {sender.labels} labels to {settings.labels.topic}" if sender.delay else ""
    text = f"sent {sender.events} events to {settings.events.topic}{labels}{_numbered(mapper)}"
    console.print(text, soft_wrap=True, markup=False)
    if sender.delay and sender.events and not sender.labels:
        field = settings.labels.label_path
        typer.echo(
            f"millstream: none of the records has a field {field}, so no label was sent: "
            "labels.label names the field",
            err=True,
        )


def _numbered(mapper: EventMapper) -> str:
    if mapper.ids is None:
        return ""
    first, last = mapper.ids
    return f", with running numbers {first} to {last} as ids (next: --first-id {last + 1})"


@dataclass(frozen=True)
class Delay:
    """When a label follows its event: after so many events, or so many milliseconds."""

    events: int | None
    milliseconds: int | None


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
    missing = [f"topic {name} does not exist" for name in names if name not in known]
    if missing:
        raise TopicsNotReady(missing, settings_file)


class Sender:
    """Sends events at their pace, and each label when its time has come."""

    def __init__(
        self, settings: Settings, mapper: EventMapper, delay: Delay | None, rate: float | None
    ) -> None:
        self.events = 0
        self.labels = 0
        self._settings = settings
        self._mapper = mapper
        self._publisher = CommandProducer(settings)
        self.delay = delay
        self._rate = rate
        # Due (number of events, or milliseconds since 1970), and the message with its label.
        self._waiting: deque[tuple[int, MappedEvent]] = deque()
        self._last_ms = 0

    def send_all(self, source: OpenSource, limit: int | None) -> None:
        """Send every row up to the limit, then the labels that are left."""
        total = min(filter(None, (source.total, limit)), default=None)
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not sys.stdout.isatty()) as progress:
            task = progress.add_task("events", total=total)
            start = time.monotonic()
            for row in islice(source.rows, limit):
                message = self._mapper.message(row)
                if self._rate:
                    self._wait_until(start + self.events / self._rate)
                self._send_event(message)
                progress.update(task, completed=self.events)
            progress.update(task, total=self.events)
            self._send_rest(progress)

    def finish(self) -> None:
        """Wait for every delivery; raises Stop where one failed."""
        self._publisher.finish()

    def _send_event(self, message: MappedEvent) -> None:
        now = self._next_ms()
        self._send_due(now)
        self._mapper.stamp(message, now)
        topic = self._settings.events.topic
        self._publisher.send(topic, message.key, encode(message.event), now)
        self.events += 1
        if self.delay and message.label is not None:
            after, wait = self.delay.events, self.delay.milliseconds
            due = now + wait if wait is not None else self.events - 1 + (after or 0)
            self._waiting.append((due, message))

    def _next_ms(self) -> int:
        """Give a message time: now, and one that no earlier event has if the order rests on it."""
        while self.delay and self.delay.events is not None and _now_ms() <= self._last_ms:
            time.sleep(0.0002)
        self._last_ms = _now_ms()
        return self._last_ms

    def _send_due(self, now: int) -> None:
        """Send labels that are due before the next event, with its time or their own."""
        if not self.delay:
            return
        by_count = self.delay.events is not None
        reached = self.events if by_count else now
        while self._waiting and self._waiting[0][0] <= reached:
            due, message = self._waiting.popleft()
            self._send_label(message, now if by_count else due)

    def _send_rest(self, progress: Progress) -> None:
        """Send the labels of the last events, as if more events came."""
        task = progress.add_task("last labels", total=len(self._waiting))
        while self._waiting:
            due, message = self._waiting[0]
            if self.delay and self.delay.milliseconds is not None:
                self._wait_until(time.monotonic() + (due - _now_ms()) / 1000)
            self._waiting.popleft()
            self._send_label(message, self._next_ms())
            progress.advance(task)

    def _send_label(self, message: MappedEvent, label_ms: int) -> None:
        if message.label is None:
            return
        self._mapper.stamp_label(message.label, label_ms)
        topic = str(self._settings.labels.topic)
        self._publisher.send(topic, message.key, encode(message.label), label_ms)
        self.labels += 1

    def _wait_until(self, moment: float) -> None:
        """Sleep, and meanwhile send labels whose time comes."""
        while (left := moment - time.monotonic()) > 0:
            if self.delay and self.delay.milliseconds is not None:
                self._send_due(_now_ms())
            time.sleep(min(left, 0.05))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
