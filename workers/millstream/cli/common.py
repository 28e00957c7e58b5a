"""What several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from millstream import logs
from millstream.settings import Settings, load_settings

SettingsFile = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="The app's settings, a YAML file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

console = Console(highlight=False)


def load_for_command(path: Path) -> Settings:
    """Load settings for a short command."""
    settings = load_settings(path)
    logs.configure(settings.log, settings.kafka, clients=False)
    return settings
