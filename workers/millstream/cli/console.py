"""Helpers that several commands share."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from millstream.config.settings import Settings, load_settings
from millstream.observability import logs

SettingsFile = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="The app's settings, a YAML file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

_UNBROKEN: Final = 10_000
# A program that reads it, or a file, has no width, and an offset in two lines is another offset.
console = Console(highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)


def is_terminal() -> bool:
    """Whether a user at a terminal can answer a question."""
    return sys.stdin.isatty() and console.is_terminal


def load_for_command(path: Path) -> Settings:
    """Load settings for a short command."""
    settings = load_settings(path)
    # A command says itself what it does; what the parts that it shares with the worker warn of is
    # for the user all the same.
    level = "warning" if settings.log.level == "info" else settings.log.level
    log = settings.log.model_copy(update={"level": level})
    logs.configure(log, settings.kafka, clients=False)
    return settings


def duration(ms: int) -> str:
    """A duration as text, in its largest unit."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if ms >= length:
            return f"{ms / length:.1f} {unit}"
    return f"{ms / 1000:.0f} s"


def size(count: int) -> str:
    """A number of bytes as text."""
    for unit, amount in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= amount:
            return f"{count / amount:.1f} {unit}"
    return f"{count} B"
