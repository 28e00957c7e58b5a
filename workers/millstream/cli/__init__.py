"""The command `millstream`."""

import sys
from typing import Annotated

import typer

from millstream import __version__
from millstream.cli import check, dead_letters, demo, run, send, tail, topics
from millstream.errors import Stop

app = typer.Typer(
    name="millstream",
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


app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.add_typer(topics.app, name="topics")
app.command("send")(send.send)
app.command("tail")(tail.tail)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run a command; a mistake of the user's becomes one line on stderr and an exit code."""
    try:
        app()
    except Stop as stop:
        typer.echo(f"millstream: {stop}", err=True)
        sys.exit(stop.exit_code)
