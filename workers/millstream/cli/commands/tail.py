"""`millstream tail`: prints predictions as they arrive."""

from collections.abc import Generator, Iterator
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
from rich.text import Text

from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.config.settings import Settings
from millstream.errors import SettingsError, Stop
from millstream.kafka.admin import connect, describe, reason
from millstream.kafka.client_config import reader_config
from millstream.kafka.topic_layout import TopicsNotReady


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
    topic = partitions[0].topic
    try:
        consumer = Consumer(reader_config(settings))
    except KafkaException as error:
        raise SettingsError(f"kafka: {reason(error)}") from error
    try:
        consumer.assign(partitions)
        while True:
            message = consumer.poll(0.2)
            if message is None:
                continue
            met = message.error()
            if met is None:
                yield message
            elif met.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(met)  # noqa: TRY301 - the same words as for what poll raises
    except KafkaException as error:
        raise Stop(f"cannot read topic {topic}: {reason(error)}") from error
    finally:
        consumer.close()


def _show(message: Message, *, as_json: bool) -> None:
    value = message.value() or b""
    try:
        line = describe_prediction(orjson.loads(value))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError):
        where = f"{message.topic()} partition {message.partition()} offset {message.offset()}"
        typer.echo(f"not a prediction record: {where}", err=True)
        return
    if as_json:
        typer.echo(value.decode())
    else:
        console.print(line, soft_wrap=True)


def describe_prediction(record: dict[str, Any]) -> Text:
    """One line about a prediction record, with the position of the event that it answers.

    Raises what Python does where it is no such record.
    """
    time = datetime.fromtimestamp(record["predicted_at"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    model, source = record["model"], record["source"]
    return Text.assemble(
        (time, "dim"),
        f" {visible(str(record['id']))} ",
        *_answer(record),
        (
            (
                f" {visible(str(model['name']))} {visible(str(model['version']))}, "
                f"learned {model['learned']:,}, event {source['partition']}/{source['offset']}"
            ),
            "dim",
        ),
    )


def visible(text: str) -> str:
    """A text with control characters escaped, which a terminal only shows."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _answer(record: dict[str, Any]) -> Iterator[str | tuple[str, str]]:
    prediction = record["prediction"]
    if prediction is not None:
        yield (visible(str(prediction)), "bold")
    elif "score" not in record:
        yield ("no prediction yet", "dim")
    if "score" in record:
        yield f"{'' if prediction is None else ' '}score {record['score']:.4g}"
    elif probabilities := record.get("probabilities"):
        yield f" ({max(probabilities.values()):.1%})"
