"""`millstream send --to labels`: publish labels by themselves, whose events went another way."""

import time
from itertools import islice

import typer

from millstream.cli.console import console
from millstream.cli.producer import CommandProducer
from millstream.config.settings import Settings
from millstream.errors import EXIT_INTERRUPTED, Stop
from millstream.sources.event_mapping import encode
from millstream.sources.label_mapping import LabelMapper
from millstream.sources.readers import Row, open_source


def send_labels(
    settings: Settings, source: str, mapper: LabelMapper, rate: float | None, limit: int | None
) -> None:
    """Send the label of every record of the source up to the limit, and say how many there were.

    `rate`: records a second. Raises Stop where a record is no label, or was not delivered.
    """
    sender = LabelSender(settings, mapper, rate)
    try:
        with open_source(source, mapper.is_id) as opened:
            for row in islice(opened.rows, limit):
                sender.send(row)
    except Stop as stop:
        sender.finish()
        raise Stop(f"{stop} ({sender.labels} labels were sent before that)") from stop
    except KeyboardInterrupt as interrupt:
        sender.finish()
        sender.sum_up()
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    sender.finish()
    sender.sum_up()


class LabelSender:
    """Sends labels at their pace, and counts the records that have none."""

    def __init__(self, settings: Settings, mapper: LabelMapper, rate: float | None) -> None:
        self.labels = 0
        self._settings = settings
        self._topic = str(settings.labels.topic)
        self._mapper = mapper
        self._publisher = CommandProducer(settings)
        self._pause = 1 / rate if rate else 0.0
        self._next = time.monotonic()
        self._without = 0

    def send(self, row: Row) -> None:
        """Send the label of a record when its turn has come."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next += self._pause
        now = time.time_ns() // 1_000_000
        message = self._mapper.message(row, now)
        if message is None:
            self._without += 1
            return
        self._publisher.send(self._topic, message.key, encode(message.value), now)
        self.labels += 1

    def finish(self) -> None:
        """Wait for every delivery; raises Stop where one failed."""
        self._publisher.finish()

    def sum_up(self) -> None:
        """Say what was sent, and what was not."""
        text = f"sent {self.labels} labels to {self._topic}"
        console.print(text, soft_wrap=True, markup=False)
        if self._without:
            field = self._settings.labels.label_path
            typer.echo(
                f"millstream: {self._without} records have no field {field}, or nothing in it, and "
                "were left out: labels.label names the field",
                err=True,
            )
