"""Transactions that no coordinator will end, and how a worker gets past its own.

A transaction coordinator drops the markers of a transaction whose partitions have no leader at
that moment, as if they had been deleted, and takes the transaction for ended (Kafka 4.3,
`TransactionMarkerChannelManager`: "likely deleted already and hence can be skipped"). That happens
where all replicas were away together, as with a single broker that is killed and comes back. The
transaction's records and offsets stay open: readers of committed records stop in front of them,
the group's offsets are told to nobody (UNSTABLE_OFFSET_COMMIT), and the next transaction of the
same producer would commit them together with its own, whatever was done in between.

A transaction of the same producer over the same partitions that is aborted mends it: its markers
end whatever is open there. Another producer's, only the brokers' own tools can end.
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
"""What a coordinator may need beyond the time of a transaction to abort it: it looks every ten
seconds by default (transaction.abort.timed.out.transaction.cleanup.interval.ms)."""
MARKER_SECONDS: Final = 5.0
"""How long markers may take: a transaction has ended before they are written."""


class HangingTransactions:
    """Looks for transactions that hang in the partitions of this app, and ends the worker's own."""

    def __init__(
        self,
        settings: Settings,
        inputs: Sequence[str],
        outputs: Sequence[str],
        ends: Watermarks,
        outage: BrokerProbe,
    ) -> None:
        """`inputs`, `outputs`: topics; `ends` tells where logs end, open transactions included."""
        self._settings = settings
        self._inputs = inputs
        self._outputs = outputs
        self._ends = ends
        self._stable_ends = Watermarks(reader_config(settings), "read_committed")
        self._outage = outage
        self._patience = session_timeout_ms(settings) / 1000 + COORDINATOR_SECONDS
        self._seen: object = None
        self._since = 0.0

    def in_doubt(self, began: float) -> bool:
        """Whether the markers of a commit that began then (monotonic) may have been dropped."""
        return self._outage.silent_at > began

    def cover(self, publisher: Publisher, partitions: Sequence[int]) -> None:
        """End what a producer of the publisher's name has left open in these partitions.

        Raises `Aborted`, or `Stop`.
        """
        # Of a consumer that never joined: what is aborted needs no member, and ours may be none.
        stranger = Consumer(
            {**client_config(self._settings), "group.id": self._settings.app, "log_level": 0}
        )
        try:
            publisher.cover(
                [TopicPartition(topic, each) for each in partitions for topic in self._outputs],
                [TopicPartition(topic, each, 0) for each in partitions for topic in self._inputs],
                stranger.consumer_group_metadata(),
            )
        finally:
            stranger.close()

    def end_own(self, partition: int, cover: Callable[[Sequence[int]], None]) -> None:
        """Before a partition is restored: see to it that nothing of this worker's hangs there.

        What does would count with the next transaction, whether it was to count or not; and a shard
        that learns from events themselves never reads the logs that would tell. What is open may as
        well be another's, who is at work or was a moment ago: that stays as it is. `cover` as in
        `mend`. Raises KafkaException and `Aborted`; then the restore has to wait.
        """
        if topics := self._open_outputs(partition):
            cover([partition])
            log.info(
                "outputs were open, and what this worker had left so is ended",
                extra={"partition": partition, "topics": topics},
            )

    def mend(
        self,
        partition: int,
        progress: object | None,
        committed: Callable[[int], object],
        cover: Callable[[Sequence[int]], None],
    ) -> bool:
        """For the loop, while a partition is restored; whether others should have their turn.

        Does something only where the restore stands still for longer than any transaction may be
        open. `progress`: anything that changes while it goes on, None where the group's offsets
        are not known yet; `committed` asks for them, and raises KafkaException where nobody tells;
        `cover` is as `self.cover`, with a publisher.
        """
        now = time.monotonic()
        if (partition, progress) != self._seen or self._outage.seconds:
            self._seen, self._since = (partition, progress), now
        if now - self._since <= self._patience:
            return False
        self._seen = None
        try:
            if progress is not None and not self._open_outputs(partition):
                return False  # it only takes long
            log.warning(
                "a transaction that nobody ends holds up a restore: ended as this worker's own",
                extra={"partition": partition},
            )
            cover([partition])
            held = self._still_held(partition, committed)
        except (KafkaException, Aborted) as failed:
            log.warning("it is not known what holds up a restore", extra={"reason": str(failed)})
            return True
        if held:
            log.error(
                "a transaction of another producer is open, and no coordinator ends it; nothing "
                "goes on in this partition until it is found (kafka-transactions.sh find-hanging) "
                "and ended (kafka-transactions.sh abort)",
                extra={"partition": partition, "topics": held},
            )
        return bool(held)

    def _still_held(self, partition: int, committed: Callable[[int], object]) -> list[str]:
        """The topics in which something is open yet; raises KafkaException."""
        until = time.monotonic() + MARKER_SECONDS
        while (held := self._open_outputs(partition)) and time.monotonic() < until:
            time.sleep(0.1)
        try:
            committed(partition)
        except KafkaException:
            held.append("__consumer_offsets")
        return held

    def _open_outputs(self, partition: int) -> list[str]:
        return [
            topic
            for topic in self._outputs
            if self._stable_ends.of(topic, partition)[1] < self._ends.of(topic, partition)[1]
        ]
