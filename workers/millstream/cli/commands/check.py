"""`millstream check`: finds errors before a worker is started."""

import json
from collections.abc import Callable
from pathlib import Path

import typer
from confluent_kafka import KafkaException
from rich.markup import escape
from rich.table import Table

from millstream.artifacts.loader import learner_factory, why_not_reproducible
from millstream.checks.clients import check_clients
from millstream.checks.finding import Finding, Level
from millstream.checks.keys import check_keys
from millstream.checks.model import check_notes
from millstream.checks.samples import check_samples
from millstream.checks.snapshot_store import check_snapshot_store
from millstream.checks.topics import check_topics
from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.config.environment import PREFIX
from millstream.config.settings import Settings
from millstream.config.yaml_file import plain_secrets
from millstream.core.models.interface.learner import Learner
from millstream.errors import EXIT_FAILURE, SettingsError, Stop
from millstream.kafka.admin import ADMIN_TIMEOUT_SECONDS, connect, describe, reason, unreachable
from millstream.kafka.client_config import reader_config
from millstream.kafka.topic_layout import needed_topics
from millstream.kafka.watermarks import Watermarks
from millstream.observability.logs import without_secrets

_COLOURS: dict[Level, str] = {
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "bold red",
}


def check(settings_file: SettingsFile, as_json: Json = False) -> None:
    """Look for everything that would fail later, now; exit code 1 if something is wrong.

    That is the settings, the model, brokers, topics, keys, and whether the newest events and labels
    are what the settings say. Wrong settings themselves are exit code 2, as in every command.
    """
    settings = load_for_command(settings_file)
    check_clients(settings)
    learner = learner_factory(settings)()
    findings = [
        Finding("ok", "settings", f"{settings_file} is well-formed"),
        *_check_secrets(settings_file),
        *_check_model(settings, learner),
        *check_snapshot_store(settings, learns=learner.traits.learns),
        *_check_kafka(settings, learner),
    ]
    findings = [each._replace(text=without_secrets(each.text)) for each in findings]
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(EXIT_FAILURE)


def _check_secrets(settings_file: Path) -> list[Finding]:
    return [
        Finding(
            "warning",
            "settings",
            f"{name} stands in {settings_file} in plain text: put it into a file that only the "
            f"worker can read, and name that: {{ file: PATH }}, or the variable {variable}",
        )
        for name in plain_secrets(settings_file)
        for variable in [PREFIX + name.replace(".", "__", 1).replace(".", "_").upper() + "_FILE"]
    ]


def _check_model(settings: Settings, learner: Learner) -> list[Finding]:
    learns = "it learns" if learner.traits.learns else "it does not learn"
    kind = "an anomaly detector" if learner.traits.kind == "anomaly" else f"a {learner.traits.kind}"
    found = [Finding("ok", "model", f"builds: {kind}; {learns}")]
    sentences = why_not_reproducible(settings) if learner.traits.learns else []
    return [*found, *(Finding("warning", "model", text) for text in sentences)]


def _check_kafka(settings: Settings, learner: Learner) -> list[Finding]:
    try:
        admin = connect(settings)
        brokers = len(admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).brokers)
        topics = check_topics(settings, admin, learns=learner.traits.learns)
        needed = needed_topics(settings)
        bounds = Watermarks(reader_config(settings))
        known = describe(admin, needed.values(), configs=False)
    except SettingsError:
        raise
    except Stop as stop:
        return [Finding("error", "brokers", str(stop))]
    except KafkaException as error:
        return [Finding("error", "brokers", unreachable(reason(error)))]
    findings = [Finding("ok", "brokers", f"reached; the cluster has {brokers}"), *topics]
    checks: dict[str, Callable[[], list[Finding]]] = {
        "model": lambda: check_notes(settings, learner, bounds, known),
        "records": lambda: check_samples(settings, learner, bounds, known),
        "keys": lambda: check_keys(settings, known),
    }
    for about, look in checks.items():
        try:
            findings += look()
        except Stop as stop:
            findings.append(Finding("error", about, str(stop)))
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
