"""Detects that Faust hands over nothing although records are available.

A consumer can stop fetching without an error: Faust's leaves its group when nobody asked it for
records for a while (`broker_max_poll_interval`), or keeps its partitions and fetches nothing more.
No exception, no rebalance, no log line. So the brokers are asked for the end of each log; where it
is beyond the records handed over, and none was for long, liveness fails.
"""

import logging
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.observability.broker_poll import ANSWER_SECONDS, BrokerPoll
from millstream.observability.health import Health
from millstream.runners.faust.bridge import ConsumerBridge
from millstream.runners.faust.partition_buffer import TopicAndPartition

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 5.0


class StallDetector:
    """Watches the partitions of a bridge, from a thread of its own."""

    def __init__(self, settings: Settings, bridge: ConsumerBridge, health: Health) -> None:
        """Begins with `start`."""
        self._after = settings.faust.stall_after / 1000
        self._bridge = bridge
        self._health = health
        self._since: dict[TopicAndPartition, tuple[int, float]] = {}
        """The due offset of each partition, and when it was first seen to be available."""
        seconds = min(ASK_EVERY_SECONDS, self._after / 4)
        self._poll = BrokerPoll(settings, "stalls", seconds, self._ask)

    def start(self) -> None:
        """Begin to ask."""
        self._poll.start()

    def stop(self) -> None:
        """Ask no more; waits for the last answer."""
        self._poll.stop()

    def _ask(self, client: Consumer) -> None:
        self._health.set_stall(self.look(client, time.monotonic()))

    def look(self, client: Consumer, now: float) -> str | None:
        """A sentence about a partition that stalls, `now` in monotonic seconds; None: none does."""
        due = self._bridge.due_offsets()
        self._since = {
            partition: before for partition, before in self._since.items()
            if due.get(partition) == before[0]
        }  # fmt: skip
        worst = None
        for partition, offset in due.items():
            try:
                _, end = client.get_watermark_offsets(
                    TopicPartition(*partition), timeout=ANSWER_SECONDS
                )
            except KafkaException:
                return None  # an outage, which `BrokerProbe` reports
            if end <= offset:
                self._since.pop(partition, None)
                continue
            _, since = self._since.setdefault(partition, (offset, now))
            if now - since >= self._after:
                worst = (
                    f"Faust has handed over nothing of {partition[0]} partition {partition[1]} for "
                    f"{now - since:.0f} s, though {end - offset} offsets from {offset} on are there"
                )
        if worst is not None:
            log.error("%s: restart this worker", worst)
        return worst
