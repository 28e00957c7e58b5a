"""The command `millstream`."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, NoReturn

import typer
from confluent_kafka import KafkaException
from typer.core import TyperGroup

from millstream._versions import __version__
from millstream.errors import EXIT_FAILURE, Stop
from millstream.kafka.admin import reason
from millstream.observability import logs

_COMMANDS: Final = {
    "demo": "demo:demo",
    "evaluate": "evaluate:command",
    "check": "check:check",
    "topics": "topics:app",
    "run": "run:run",
    "send": "send:send",
    "tail": "tail:tail",
    "state": "state:state",
    "snapshots": "snapshots:app",
    "audit": "audit:audit",
    "rebuild": "rebuild:rebuild",
    "dead-letters": "dead_letters:app",
}
"""Each command's module and what it is there, in the order in which one comes to need them."""

_log = logging.getLogger(__name__)


class _WhenAsked(Mapping[str, Any]):
    """The commands, each imported only when it is called, so that a worker starts sooner."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = _COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(f"millstream.cli.commands.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            return typer.main.get_command(alone)
        return typer.main.get_group(found)

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Commands(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _WhenAsked()  # type: ignore[assignment] # no command is added to it


app = typer.Typer(
    name="millstream",
    cls=_Commands,
    help="Predict on Kafka events with River or scikit-learn, and learn from labels whenever they "
    "come.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"millstream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Accept options before the command; `--version` acts in its callback."""


def main() -> None:
    """Run a command; a user's mistake becomes one line on stderr and an exit code."""
    try:
        app()
    except Stop as stop:
        _end(str(stop), stop.exit_code)
    except KafkaException as error:
        # One that no command has words of its own for; where it came from is for a debugging log.
        _log.debug("Kafka failed", exc_info=True)
        _end(f"Kafka failed: {reason(error)}", EXIT_FAILURE)


def _end(sentence: str, exit_code: int) -> NoReturn:
    typer.echo(f"millstream: {logs.without_secrets(sentence)}", err=True)
    sys.exit(exit_code)
