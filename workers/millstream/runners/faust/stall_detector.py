"""Notices that nothing comes though something is there.

A consumer can stop fetching without an error: Faust's leaves its group when nobody asked it for
records for a while (`broker_max_poll_interval`), or keeps its partitions and fetches nothing more.
No exception, no rebalance, no log line. So the brokers are asked, in a thread of its own, where
each log ends; where that is beyond what was handed over, and for long nothing was, liveness says
so.
"""

import logging
import threading
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.kafka.client_config import reader_config
from millstream.observability.health import Health
from millstream.runners.faust.bridge import ConsumerBridge
from millstream.runners.faust.partition_buffer import TopicAndPartition

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 3.0


class StallDetector:
    """Watches the feed."""

    def __init__(self, settings: Settings, feed: ConsumerBridge, health: Health) -> None:
        """Begins with `start`."""
        self._after = settings.faust.stall_after / 1000
        self._settings = settings
        self._feed = feed
        self._health = health
        self._ending = threading.Event()
        self._since: dict[TopicAndPartition, tuple[int, float]] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, name="stalls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(ANSWER_SECONDS + ASK_EVERY_SECONDS)

    def _run(self) -> None:
        client = Consumer({**reader_config(self._settings), "log_level": 0})
        while not self._ending.wait(min(ASK_EVERY_SECONDS, self._after / 4)):
            self._health.set_stall(self.look(client, time.monotonic()))
        client.close()

    def look(self, client: Consumer, now: float) -> str | None:
        """A sentence about a partition of which nothing comes; None: there is none."""
        due = self._feed.waiting_for()
        self._since = {
            place: before for place, before in self._since.items()
            if due.get(place) == before[0]
        }  # fmt: skip
        worst = None
        for place, offset in due.items():
            try:
                _, end = client.get_watermark_offsets(
                    TopicPartition(*place), timeout=ANSWER_SECONDS
                )
            except KafkaException:
                return None  # an outage is another matter, and told elsewhere
            if end <= offset:
                self._since.pop(place, None)
                continue
            _, since = self._since.setdefault(place, (offset, now))
            if now - since >= self._after:
                worst = (
                    f"Faust has handed over nothing of {place[0]} partition {place[1]} for "
                    f"{now - since:.0f} s, though {end - offset} offsets from {offset} on are there"
                )
        if worst is not None:
            log.error("%s: restart this worker", worst)
        return worst
