"""Detects that no broker answers, and for how long.

Neither an idle worker nor one that waits for its commit notices an outage by itself, so a broker is
asked every second. (librdkafka reports that all connections are down, but not a broker that is
frozen or cut off: there, requests time out after a minute.)
"""

import logging
import math
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException

from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.observability.broker_poll import ANSWER_SECONDS, BrokerPoll
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 1.0
AWAY_AFTER_SECONDS: Final = 5.0
"""Silence of more than this is called an outage: more than one question."""


class BrokerProbe:
    """The time since a broker answered; `turn` is for the loop, the rest happens in a thread."""

    def __init__(self, settings: Settings, health: Health, metrics: Metrics) -> None:
        """Begins with `start`."""
        self._longest = settings.recovery.max_outage / 1000
        self._health = health
        self._metrics = metrics
        self._topic = settings.events.topic
        self._poll = BrokerPoll(settings, "outage", ASK_EVERY_SECONDS, self._ask)
        self.seconds = 0.0
        """For how long no broker has answered; 0 while one does."""
        self.silent_at = -math.inf
        """When a question was last left without an answer, on the monotonic clock."""

    def start(self) -> None:
        """Begin to ask."""
        self._poll.start()

    def stop(self) -> None:
        """Ask no more; waits for the last answer."""
        self._poll.stop()

    def turn(self) -> None:
        """For the loop, wherever it waits: a sign of life. Raises `Stop` past the limit."""
        self._health.beat()
        if 0 < self._longest < self.seconds:
            raise Stop(
                f"no broker has answered for {self.seconds:.0f} s, which is longer than "
                f"recovery.max_outage ({self._longest:g} s): see to the brokers at "
                "kafka.bootstrap.servers and start the worker again; it goes on where it was"
            )

    def _ask(self, client: Consumer) -> None:
        """Ask any broker for the leader of the topic; an error of its own is an answer, too."""
        began = time.monotonic()
        try:
            client.list_topics(self._topic, timeout=ANSWER_SECONDS)
        except KafkaException:
            # Not the time since the last answer: the process may have been frozen for all of it.
            # A question cannot last longer than this, unless the process did not run.
            passed = min(time.monotonic() - began, ANSWER_SECONDS) + ASK_EVERY_SECONDS
            self.record(self.seconds + passed)
        else:
            self.record(0.0)

    def record(self, seconds: float) -> None:
        """Record for how many seconds no broker has answered; 0: one has."""
        before, self.seconds = self.seconds, seconds
        if seconds:
            self.silent_at = time.monotonic()
        self._health.set_outage(seconds if seconds > AWAY_AFTER_SECONDS else 0.0)
        self._metrics.set_broker_silence(seconds)
        if before <= AWAY_AFTER_SECONDS < seconds:
            log.warning(
                "no broker answers; the worker waits, and goes on by itself",
                extra={"seconds": round(seconds)},
            )
        elif seconds == 0 and before > AWAY_AFTER_SECONDS:
            log.warning("a broker answers again", extra={"seconds_away": round(before)})
