"""The transactional producer, made ready while the worker is still importing its model.

A process that was killed leaves its transaction open. The broker has to end that before the same
transactional id may go on, and librdkafka (2.16) asks whether it has every half second, whatever it
is told. Importing a model's library takes longer than that, and needs no broker.
"""

import threading
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaException, Producer

from millstream.config.settings import Settings
from millstream.kafka.client_config import TakeStatistics, producer_config, with_statistics

READY_SECONDS: Final = 5.0


class ProducerWarmup:
    """Under way from its making on; fences any older producer of its transactional id."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._config = producer_config(settings, transactional_id)
        self._producer: Producer | None = None
        self._statistics: TakeStatistics = _leave
        self._thread = threading.Thread(target=self._make, name="early producer", daemon=True)
        self._thread.start()

    def take(self, statistics: TakeStatistics) -> Producer | None:
        """Give the producer away, which tells `statistics` of itself from now on.

        Waits for it. None where it could not be made ready in some seconds, or has been taken.
        """
        self._thread.join()
        self._statistics = statistics
        producer, self._producer = self._producer, None
        return producer

    def _tell(self, statistics: str) -> None:
        self._statistics(statistics)

    def _make(self) -> None:
        with suppress(KafkaException):  # the next one will meet the same, and tells of it
            producer = Producer(with_statistics(self._config, self._tell))
            producer.init_transactions(READY_SECONDS)
            self._producer = producer


def _leave(_: str) -> None:
    """Of statistics that come before there is anybody to count them."""
