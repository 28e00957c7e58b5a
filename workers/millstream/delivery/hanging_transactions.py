"""Detection of transactions that no coordinator will end, and the end of the worker's own.

A transaction coordinator drops the markers of a transaction whose partitions have no leader at
that moment, as if they had been deleted, and regards the transaction as ended (Kafka 4.3,
`TransactionMarkerChannelManager`: "likely deleted already and hence can be skipped"). That happens
when all replicas were away together, as with a single broker that is killed and restarted. The
transaction's records and offsets stay open: readers of committed records stop before them, brokers
refuse to return the group's offsets (UNSTABLE_OFFSET_COMMIT), and the next transaction of the same
producer would commit them with its own, whatever was done in between.

An aborted transaction of the same producer over the same partitions repairs this: its markers end
whatever is open there. That of another producer can only be ended by the brokers' own tools.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.delivery.publisher import Aborted, Publisher
from millstream.kafka.client_config import client_config, reader_config, session_timeout_ms
from millstream.kafka.watermarks import Watermarks
from millstream.observability.broker_probe import BrokerProbe

log = logging.getLogger(__name__)

COORDINATOR_SECONDS: Final = 15.0
"""How long after its time-out a coordinator may abort a transaction: it checks every ten seconds by
default (transaction.abort.timed.out.transaction.cleanup.interval.ms)."""
MARKER_SECONDS: Final = 5.0
"""How long markers may take, which are written after the transaction has ended."""


class HangingTransactions:
    """Finds transactions that hang in partitions of this app, and ends the worker's own."""

    def __init__(
        self,
        settings: Settings,
        inputs: Sequence[str],
        outputs: Sequence[str],
        ends: Watermarks,
        outage: BrokerProbe,
    ) -> None:
        """`inputs`, `outputs`: topics; `ends`: watermarks that include open transactions."""
        self._settings = settings
        self._inputs = inputs
        self._outputs = outputs
        self._ends = ends
        self._stable_ends = Watermarks(reader_config(settings), "read_committed")
        self._outage = outage
        self._blocked_seconds = session_timeout_ms(settings) / 1000 + COORDINATOR_SECONDS
        self._seen: object = None
        self._since = 0.0

    def in_doubt(self, began: float) -> bool:
        """Return True if a commit that began then (monotonic) may have lost its markers."""
        return self._outage.silent_at > began

    def abort_over(self, publisher: Publisher, partitions: Sequence[int]) -> None:
        """End what a producer with the publisher's transactional id has left open there.

        Raises `Aborted`, or `Stop`.
        """
        # Metadata of a consumer that never joins: an abort needs no member, and ours may be none.
        consumer = Consumer(
            {**client_config(self._settings), "group.id": self._settings.app, "log_level": 0}
        )
        try:
            publisher.abort_over(
                [TopicPartition(topic, each) for each in partitions for topic in self._outputs],
                [TopicPartition(topic, each, 0) for each in partitions for topic in self._inputs],
                consumer.consumer_group_metadata(),
            )
        finally:
            consumer.close()

    def abort_own(self, partition: int, abort_over: Callable[[Sequence[int]], None]) -> None:
        """End this worker's hanging transactions in a partition before it is restored.

        They would be committed with the next transaction, and a processor with inline labels never
        reads the logs that would show it. An open transaction may as well belong to another worker
        that is still active: that one is not touched. `abort_over` as in `unblock_restore`. Raises
        KafkaException and `Aborted`; then the restore has to wait.
        """
        if topics := self._open_outputs(partition):
            abort_over([partition])
            log.info(
                "outputs were open, and what this worker had left so is ended",
                extra={"partition": partition, "topics": topics},
            )

    def unblock_restore(
        self,
        partition: int,
        progress: object | None,
        committed: Callable[[int], object],
        abort_over: Callable[[Sequence[int]], None],
    ) -> bool:
        """End what blocks a restore; returns True if other partitions should go first.

        The loop calls it while a partition is restored. It acts only if the restore makes no
        progress for longer than any transaction may be open. `progress`: a value that changes with
        each progress, None while the group's offsets are unknown; `committed` asks for them, and
        raises KafkaException where brokers do not answer; `abort_over`: as `self.abort_over`, for
        the worker's publisher.
        """
        now = time.monotonic()
        if (partition, progress) != self._seen or self._outage.seconds:
            self._seen, self._since = (partition, progress), now
        if now - self._since <= self._blocked_seconds:
            return False
        self._seen = None
        try:
            if progress is not None and not self._open_outputs(partition):
                return False  # it is slow, not blocked
            log.warning(
                "a transaction that nobody ends holds up a restore: ended as this worker's own",
                extra={"partition": partition},
            )
            abort_over([partition])
            still_open = self._still_open(partition, committed)
        except (KafkaException, Aborted) as failed:
            log.warning("it is not known what holds up a restore", extra={"reason": str(failed)})
            return True
        if still_open:
            log.error(
                "a transaction of another producer is open, and no coordinator ends it; nothing "
                "goes on in this partition until it is found (kafka-transactions.sh find-hanging) "
                "and ended (kafka-transactions.sh abort)",
                extra={"partition": partition, "topics": still_open},
            )
        return bool(still_open)

    def _still_open(self, partition: int, committed: Callable[[int], object]) -> list[str]:
        """Wait for the markers; returns the topics still open. Raises KafkaException."""
        until = time.monotonic() + MARKER_SECONDS
        while (topics := self._open_outputs(partition)) and time.monotonic() < until:
            time.sleep(0.1)
        try:
            committed(partition)
        except KafkaException:
            topics.append("__consumer_offsets")
        return topics

    def _open_outputs(self, partition: int) -> list[str]:
        return [
            topic
            for topic in self._outputs
            if self._stable_ends.of(topic, partition)[1] < self._ends.of(topic, partition)[1]
        ]
