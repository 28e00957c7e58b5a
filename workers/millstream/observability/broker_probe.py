"""Notices that no broker answers, and for how long.

It asks a broker, every second, in a thread of its own: neither an idle worker nor one that waits
for its commit hears of an outage by what it does anyway. (librdkafka reports that all connections
are down, but not a broker that is frozen or cut off: there, requests time out after a minute.)
"""

import logging
import math
import threading
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException

from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.kafka.client_config import reader_config
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 3.0
"""How long an answer may take."""
AWAY_AFTER_SECONDS: Final = 5.0
"""How long no broker may answer before that is called an outage: more than one question."""


class BrokerProbe:
    """Whether a broker answers; `turn` is for the loop, the rest happens in a thread."""

    def __init__(self, settings: Settings, health: Health, metrics: Metrics) -> None:
        """Begins with `start`."""
        self._longest = settings.recovery.max_outage / 1000
        self._health = health
        self._metrics = metrics
        self._topic = settings.events.topic
        # Not by the admin client's calls: when a broker was frozen for a while, librdkafka 2.16
        # aborted the process over an answer to one ("Assertion `rko_result' failed"). A consumer,
        # unlike the others, never makes a topic by asking. What it would log, the others do.
        self._client = Consumer({**reader_config(settings), "log_level": 0})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outage", daemon=True)
        self.seconds = 0.0
        """For how long no broker has answered; 0 while one does."""
        self.silent_at = -math.inf
        """When a question was last left without an answer, on the monotonic clock."""

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for the last answer: a client must not outlive Python."""
        self._ending.set()
        self._thread.join(ANSWER_SECONDS + ASK_EVERY_SECONDS)

    def turn(self) -> None:
        """For the loop, wherever it waits: a sign of life. Raises `Stop` past the limit."""
        self._health.beat()
        if 0 < self._longest < self.seconds:
            raise Stop(
                f"no broker has answered for {self.seconds:.0f} s, which is longer than "
                f"recovery.max_outage ({self._longest:g} s): see to the brokers at "
                "kafka.bootstrap.servers and start the worker again; it goes on where it was"
            )

    def _run(self) -> None:
        while not self._ending.wait(ASK_EVERY_SECONDS):
            began = time.monotonic()
            answered = self._ask()
            # Not since the last answer: the process may have been frozen for all of that time.
            # A question cannot last longer than this, unless the process did not run.
            passed = min(time.monotonic() - began, ANSWER_SECONDS) + ASK_EVERY_SECONDS
            self._heard(0.0 if answered else self.seconds + passed)
        self._client.close()

    def _ask(self) -> bool:
        """Ask any broker who leads the topic; whatever it says, it has answered."""
        try:
            self._client.list_topics(self._topic, timeout=ANSWER_SECONDS)
        except KafkaException:
            return False
        return True

    def _heard(self, seconds: float) -> None:
        before, self.seconds = self.seconds, seconds
        if seconds:
            self.silent_at = time.monotonic()
        away = seconds if seconds > AWAY_AFTER_SECONDS else 0.0
        self._health.set_outage(away)
        self._metrics.set_broker_silence(seconds)
        if before <= AWAY_AFTER_SECONDS < seconds:
            log.warning(
                "no broker answers; the worker waits, and goes on by itself",
                extra={"seconds": round(seconds)},
            )
        elif seconds == 0 and before > AWAY_AFTER_SECONDS:
            log.warning("a broker answers again", extra={"seconds_away": round(before)})
