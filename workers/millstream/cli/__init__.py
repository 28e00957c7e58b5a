"""The command `millstream`."""

import logging
import sys
from typing import Annotated, Any, Final, NoReturn

import typer
from confluent_kafka import KafkaException
from typer.core import TyperGroup

from millstream import __version__, logs
from millstream.cli import (
    audit,
    check,
    dead_letters,
    demo,
    evaluate,
    rebuild,
    run,
    send,
    snapshots,
    state,
    tail,
    topics,
)
from millstream.errors import EXIT_FAILURE, Stop
from millstream.runners.topics import reason

_ORDER: Final = ("demo", "evaluate", "check", "topics", "run", "send", "tail")
"""A newcomer's path; other commands stand behind it as they are added below."""

_log = logging.getLogger(__name__)


class _InOrder(TyperGroup):
    """Lists commands in the order in which one comes to need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, as `--help` shows them."""
        names = super().list_commands(ctx)
        path = [name for name in _ORDER if name in names]
        return path + [name for name in names if name not in _ORDER]


app = typer.Typer(
    name="millstream",
    cls=_InOrder,
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
    """Take the options that stand before the command (`--version` acts by its callback)."""


app.command("demo")(demo.demo)
app.command("evaluate")(evaluate.command)
app.command("check")(check.check)
app.add_typer(topics.app, name="topics")
app.command("run")(run.run)
app.command("send")(send.send)
app.command("tail")(tail.tail)
app.command("state")(state.state)
app.add_typer(snapshots.app, name="snapshots")
app.command("audit")(audit.audit)
app.command("rebuild")(rebuild.rebuild)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run a command; a mistake of the user's becomes one line on stderr and an exit code."""
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
