"""Writes to the models topic what no transaction is needed for."""

from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.core.records.record import Output
from millstream.errors import MillstreamError

FLUSH_SECONDS: Final = 30.0


class NotWritten(MillstreamError):
    """Something did not get into the models topic; the message says why."""


class ConfirmedWriter:
    """A producer of its own: a snapshot is none of the business of a batch's transaction."""

    def __init__(self, config: dict[str, Any], topic: str, seconds: float = FLUSH_SECONDS) -> None:
        """`config` of a producer without a transactional id; `seconds`: how long to wait."""
        self._topic = topic
        self._seconds = seconds
        self._failed: KafkaError | None = None
        self._producer = Producer({**config, "on_delivery": self._on_delivery})

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        self._failed = error or self._failed

    def write(self, partition: int, outputs: Iterable[Output]) -> None:
        """Write records and wait until they are there. Raises NotWritten."""
        self._failed = None
        try:
            for output in outputs:
                self._producer.produce(self._topic, output.value, output.key, partition)
                self._producer.poll(0)
        except (KafkaException, BufferError) as error:
            self._producer.purge()
            raise NotWritten(f"{self._topic}: {error}") from error
        if self._producer.flush(self._seconds):
            self._producer.purge()
            raise NotWritten(f"{self._topic} was not reached within {self._seconds:g} s")
        if self._failed is not None:
            raise NotWritten(f"{self._topic}: {self._failed.str()}")

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.purge()
        self._producer.flush(1)
