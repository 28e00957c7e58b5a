"""A producer that partitions as the Java client does and counts failed deliveries."""

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from millstream.config.settings import Settings
from millstream.core.records.record import Output
from millstream.errors import SettingsError, Stop
from millstream.kafka.admin import reason
from millstream.kafka.client_config import client_config
from millstream.kafka.producer import produce

ANY_PARTITION: Final = -1
_FLUSH_SECONDS: Final = 60.0


class CommandProducer:
    """Sends records; `finish` raises unless all were delivered."""

    def __init__(self, settings: Settings) -> None:
        config: dict[str, Any] = {
            **client_config(settings),
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
        }
        try:
            self._producer = Producer(config)
        except KafkaException as error:
            raise SettingsError(f"kafka: {reason(error)}") from error
        self._sent = 0
        self._failed: list[str] = []

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        timestamp_ms: int,
        partition: int = ANY_PARTITION,
    ) -> None:
        """Send one record; waits while the local queue is full.

        Raises Stop where the client refuses it, as one that is too large.
        """
        try:
            produce(
                self._producer,
                topic,
                partition,
                [Output(key, value, None)],
                timestamp=timestamp_ms,
                on_delivery=self._delivered,
            )
        except KafkaException as error:
            raise Stop(f"cannot send a record to {topic}: {reason(error)}") from error
        self._sent += 1
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait for all deliveries; raises Stop unless every record was delivered."""
        undelivered = self._producer.flush(_FLUSH_SECONDS)
        if self._failed or undelivered:
            why = self._failed[0] if self._failed else f"no answer in {_FLUSH_SECONDS:.0f} seconds"
            raise Stop(
                f"{len(self._failed) + undelivered} of {self._sent} records were not delivered "
                f"(the first: {why})"
            )

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error.str())
