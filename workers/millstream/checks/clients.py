"""Check of the Kafka properties: librdkafka validates most of them only in a client."""

from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

from millstream.config.settings import Settings
from millstream.errors import SettingsError
from millstream.kafka.admin import reason
from millstream.kafka.client_config import consumer_config, producer_config, reader_config


def check_clients(settings: Settings) -> None:
    """Raise SettingsError if any of the worker's clients rejects the `kafka` properties.

    Some are rejected only in combination with those of the guarantee, or by one kind of client. No
    client made here joins a group or begins a transaction.
    """
    # No transaction of this id ever begins, so it fences nobody.
    transactional = (
        f"{settings.app}-check" if settings.processing_guarantee == "exactly_once" else None
    )
    _make(lambda: Producer(producer_config(settings, transactional))).purge()
    for config in (consumer_config(settings), reader_config(settings)):
        _make(partial(Consumer, config)).close()


def _make(client: Callable[[], Any]) -> Any:
    try:
        return client()
    except KafkaException as error:
        raise SettingsError(f"kafka: {reason(error)}") from error
