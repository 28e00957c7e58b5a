"""`millstream topics`: lists and creates the topics of an app."""

import json
import time
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from millstream.artifacts.loader import model_learns
from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.kafka.admin import TopicInfo, connect, list_topics, reason
from millstream.kafka.topic_layout import (
    MODELS_CONFIG,
    is_replayed,
    missing_or_unequal,
    needed_topics,
)

DEFAULT_PARTITIONS = 4
# A person reads dead letters; a month is time enough to, and bounds what a bad producer costs.
_DEAD_LETTERS_MS = 30 * 86_400_000
_SHOWN_SECONDS = 30.0

app = typer.Typer(name="topics", help="Create the app's topics.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `create` a subcommand, though it is the only one."""


@app.command()
def create(
    settings_file: SettingsFile,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Partitions of the events topic, where that is missing too.  [default: "
            f"{DEFAULT_PARTITIONS}]",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Replicas.  [default: the brokers' own]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is missing.")] = False,
    as_json: Json = False,
) -> None:
    """Create those of the app's topics that are missing, and touch no other.

    Labels and all outputs get as many partitions as the events topic has: each partition has a
    model of its own, and what belongs to it lies in the partition of the same number.
    """
    settings = load_for_command(settings_file)
    admin = connect(settings)
    known = list_topics(admin)
    plan = plan_topics(settings, known, partitions, replication_factor or -1)
    if not dry_run:
        create_topics(admin, plan)
    _report(settings, known, plan, dry_run=dry_run, as_json=as_json)
    if plan and not as_json:
        console.print(_why_so_many(settings, known, partitions), soft_wrap=True, markup=False)
    unequal = missing_or_unequal(settings, {**known, **{t.topic: _info(t) for t in plan}})
    if unequal:
        raise Stop("; ".join(unequal))


def plan_topics(
    settings: Settings,
    known: dict[str, TopicInfo],
    partitions: int | None = None,
    replication_factor: int = -1,
) -> list[NewTopic]:
    """Topics that are missing, as they should be; -1 replicas means the brokers' default.

    Raises Stop where `partitions` differs from the events topic that is there.
    """
    events = known.get(settings.events.topic)
    if events and partitions not in {None, events.partitions}:
        raise Stop(
            f"{settings.events.topic} (events) has {events.partitions} partitions, and the other "
            f"topics need as many: leave out --partitions {partitions}"
        )
    count = events.partitions if events else partitions or DEFAULT_PARTITIONS
    learns = model_learns(settings)
    return [
        NewTopic(name, count, replication_factor, config=_config(settings, role, learns=learns))
        for role, name in needed_topics(settings).items()
        if name not in known
    ]


def _config(settings: Settings, role: str, *, learns: bool) -> dict[str, str]:
    """The configuration of a topic that differs from the brokers' defaults."""
    # Predictions are the log that shows what was answered to whom, replayed or not.
    if is_replayed(settings, role, learns=learns) or role == "predictions":
        return {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    if role == "models":
        return MODELS_CONFIG
    if role == "dead-letters":
        return {"cleanup.policy": "delete", "retention.ms": str(_DEAD_LETTERS_MS)}
    return {}


def create_topics(admin: AdminClient, plan: list[NewTopic]) -> None:
    """Create the topics and wait until each is there; raises Stop naming those that fail."""
    failed = []
    for name, done in (admin.create_topics(plan) if plan else {}).items():
        try:
            done.result()
        except KafkaException as error:
            failed.append(f"{name} ({reason(error)})")
    if failed:
        raise Stop(f"cannot create {', '.join(failed)}")
    _wait_until_shown(admin, {topic.topic for topic in plan})


def _wait_until_shown(admin: AdminClient, names: set[str]) -> None:
    """Wait until all brokers know the topics, which takes some time after their creation."""
    until = time.monotonic() + _SHOWN_SECONDS
    while names := names - list_topics(admin).keys():
        if time.monotonic() > until:
            raise Stop(
                f"{', '.join(sorted(names))}: created, but after {_SHOWN_SECONDS:g} s the brokers "
                "do not show them yet; look at their logs, and run this again"
            )
        time.sleep(0.05)


def _info(topic: NewTopic) -> TopicInfo:
    return TopicInfo(topic.num_partitions, topic.replication_factor)


def _why_so_many(settings: Settings, known: dict[str, TopicInfo], asked: int | None) -> str:
    """The source of the number of partitions, as text."""
    events = known.get(settings.events.topic)
    if events:
        return (
            f"Partitions are as many as {settings.events.topic} (events) has: {events.partitions}"
        )
    count = asked or DEFAULT_PARTITIONS
    whose = "as --partitions says" if asked else "the default, since there is no --partitions"
    return f"Partitions of events are {count}, {whose}; the other topics follow events"


def _report(
    settings: Settings,
    known: dict[str, TopicInfo],
    plan: list[NewTopic],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    planned = {topic.topic: topic for topic in plan}
    rows: list[dict[str, Any]] = []
    for role, name in needed_topics(settings).items():
        new = planned.get(name)
        row: dict[str, Any] = {
            "role": role,
            "topic": name,
            "state": ("missing" if dry_run else "created") if new else "exists",
            "partitions": new.num_partitions if new else known[name].partitions,
            "config": dict(new.config or {}) if new else {},
        }
        rows.append(row)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        text = "{state:8} {topic} ({role}), {partitions} partitions".format_map(row)
        shown = " ".join(f"{key}={value}" for key, value in row["config"].items())
        console.print(f"{text}, {shown}" if shown else text, soft_wrap=True, markup=False)
