"""A transactional producer that is initialised while the worker imports its model.

A killed process leaves its transaction open. The broker has to end that before the same
transactional id can be used again, and librdkafka (2.16) polls for it every half second, whatever
its settings. Importing a model's library takes longer than that, and needs no broker.
"""

import threading
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaException, Producer

from millstream.config.settings import Settings
from millstream.kafka.client_config import TakeStatistics, producer_config, with_statistics

READY_SECONDS: Final = 5.0


class ProducerWarmup:
    """Initialises a producer in a thread; fences any older one of the same transactional id."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._config = producer_config(settings, transactional_id)
        self._producer: Producer | None = None
        self._statistics: TakeStatistics = _ignore
        self._thread = threading.Thread(target=self._make, name="early producer", daemon=True)
        self._thread.start()

    def take(self, statistics: TakeStatistics) -> Producer | None:
        """Wait for the producer and give it away; its statistics (JSON) go to `statistics`.

        None if it could not be initialised in time, or was taken before.
        """
        self._thread.join()
        self._statistics = statistics
        producer, self._producer = self._producer, None
        return producer

    def _forward(self, statistics: str) -> None:
        self._statistics(statistics)

    def _make(self) -> None:
        with suppress(KafkaException):  # the next producer meets and reports the same
            producer = Producer(with_statistics(self._config, self._forward))
            producer.init_transactions(READY_SECONDS)
            self._producer = producer


def _ignore(_: str) -> None:
    """Ignore statistics that come before anybody counts them."""
