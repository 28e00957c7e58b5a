"""`millstream check`: everything that would fail later, now."""

import json

import typer
from rich.markup import escape
from rich.table import Table

from millstream.cli.common import Json, SettingsFile, console, load_for_command
from millstream.core.models.learner import Learner
from millstream.errors import EXIT_FAILURE, SettingsError, Stop
from millstream.loading import learner_factory, why_not_reproducible
from millstream.runners.findings import Finding, Level
from millstream.runners.key_checks import check_keys
from millstream.runners.topic_checks import check_topics
from millstream.runners.topics import connect, describe, needed_topics
from millstream.settings import Settings

_COLOURS: dict[Level, str] = {
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "bold red",
}


def check(settings_file: SettingsFile, as_json: Json = False) -> None:
    """Look at settings, model, brokers, topics and keys; exit code 1 if something is wrong.

    Wrong settings themselves are exit code 2, as in every command.
    """
    settings = load_for_command(settings_file)
    learner = learner_factory(settings)()
    findings = [
        Finding("ok", "settings", f"{settings_file} is well-formed"),
        *_check_model(settings, learner),
        *_check_kafka(settings, learns=learner.learns),
    ]
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


def _check_model(settings: Settings, learner: Learner) -> list[Finding]:
    learns = "it learns" if learner.learns else "it does not learn"
    article = "an" if learner.kind == "anomaly" else "a"
    found = [Finding("ok", "model", f"builds: {article} {learner.kind}; {learns}")]
    sentences = why_not_reproducible(settings) if learner.learns else []
    return [*found, *(Finding("warning", "model", text) for text in sentences)]


def _check_kafka(settings: Settings, *, learns: bool) -> list[Finding]:
    try:
        admin = connect(settings)
    except SettingsError:
        raise
    except Stop as stop:
        return [Finding("error", "brokers", str(stop))]
    brokers = len(admin.list_topics(timeout=10).brokers)
    findings = [Finding("ok", "brokers", f"reached; the cluster has {brokers}")]
    findings += check_topics(settings, admin, learns=learns)
    if settings.labels.source != "topic":
        return findings
    needed = needed_topics(settings)
    known = describe(admin, (needed["events"], needed["labels"]), configs=False)
    counts = {info.partitions for info in known.values()}
    if len(known) == 2 and len(counts) == 1:
        findings += check_keys(settings, counts.pop())
    return findings


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=36)
    table.add_column(overflow="fold")
    for level, about, text in findings:
        table.add_row(f"[{_COLOURS[level]}]{level}[/]", escape(about), escape(text))
    console.print(table)
    counts = {level: sum(f.level == level for f in findings) for level in _COLOURS}
    console.print(
        f"{_number(counts['error'], 'error')}, {_number(counts['warning'], 'warning')}, "
        f"{_number(counts['note'], 'note')}"
    )


def _number(amount: int, what: str) -> str:
    return f"{amount} {what}{'' if amount == 1 else 's'}"
