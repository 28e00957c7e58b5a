"""`millstream tail`: predictions as they come."""

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from rich.markup import escape

from millstream.cli.common import Json, SettingsFile, console, load_for_command
from millstream.errors import Stop
from millstream.runners.clients import reader_config
from millstream.runners.topics import TopicsNotReady, connect, describe, reason
from millstream.settings import Settings


def tail(
    settings_file: SettingsFile,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest, not with the next.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show committed predictions as they come, until Ctrl-C."""
    settings = load_for_command(settings_file)
    topic = settings.topic("predictions")
    known = describe(connect(settings), [topic], configs=False)
    if topic not in known:
        missing = [f"topic {topic} (predictions) does not exist"]
        raise TopicsNotReady(missing, str(settings_file))
    start = OFFSET_BEGINNING if from_start else OFFSET_END
    partitions = [TopicPartition(topic, p, start) for p in range(known[topic].partitions)]
    messages = follow(settings, partitions)
    try:
        for shown, message in enumerate(messages, 1):
            _show(message, as_json=as_json)
            if shown == limit:
                break
    except KeyboardInterrupt:
        pass
    finally:
        messages.close()


def follow(settings: Settings, partitions: list[TopicPartition]) -> Generator[Message]:
    """Yield committed messages for ever; raises Stop where they cannot be read."""
    consumer = Consumer(reader_config(settings))
    try:
        consumer.assign(partitions)
        while True:
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                raise Stop(f"cannot read predictions: {reason(KafkaException(error))}")
    finally:
        consumer.close()


def _show(message: Message, *, as_json: bool) -> None:
    value = message.value() or b""
    if as_json:
        typer.echo(value.decode())
        return
    where = f"{message.partition()}/{message.offset()}"
    try:
        console.print(describe_prediction(orjson.loads(value), where), soft_wrap=True)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        console.print(f"[red]not a prediction record[/] at {where}", soft_wrap=True)


def describe_prediction(record: dict[str, Any], where: str) -> str:
    """One line (rich markup) about a prediction record."""
    time = datetime.fromtimestamp(record["predicted_at"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    model = record["model"]
    identity, answer = escape(str(record["id"])), escape(str(record["prediction"]))
    return (
        f"[dim]{time}[/] {identity} [bold]{answer}[/]{_certainty(record)} "
        f"[dim]{escape(model['name'])} {model['version']}, learned {model['learned']:,}, "
        f"at {where}[/]"
    )


def _certainty(record: dict[str, Any]) -> str:
    if "score" in record:
        return f" score {record['score']:.4g}"
    probabilities = record.get("probabilities") or {}
    if not probabilities:
        return ""
    return f" ({max(probabilities.values()):.1%})"
