"""The commit of batches, and the restore of partitions whose batch failed."""

import logging
import threading
import time
from typing import Final

from millstream.config.settings import Settings
from millstream.core.records.record import BatchResult
from millstream.delivery.batch import Batch
from millstream.delivery.publisher import Aborted, ProducerLost
from millstream.errors import Stop
from millstream.kafka.client_config import session_timeout_ms
from millstream.kafka.group_consumer import GroupConsumer
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.runners.confluent.transaction_repair import RebuildablePublisher, TransactionRepair
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

OFFSETS_REFRESH_SECONDS: Final = 1800.0
"""Brokers forget offsets that nobody commits, of topics not subscribed to even in a live group."""
MAX_ABORTS_IN_A_ROW: Final = 10
WAIT_SECONDS: Final = 0.1


class BatchCommitter:
    """Sends the outputs of batches, and commits them with their offsets."""

    def __init__(
        self,
        settings: Settings,
        publisher: RebuildablePublisher,
        repair: TransactionRepair,
        membership: GroupMembership,
        consumer: GroupConsumer,
        metrics: Metrics,
        health: Health,
        stopping: threading.Event,
    ) -> None:
        self._session_seconds = session_timeout_ms(settings) / 1000
        self._publisher = publisher
        self._repair = repair
        self._membership = membership
        self._consumer = consumer
        self._metrics = metrics
        self._health = health
        self._stopping = stopping
        self._aborts_in_a_row = 0

    def rest(self) -> None:
        """Before a batch is fetched, wait until the brokers have ended the last transaction."""
        self._publisher.current.back_off()

    def write(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:
        """Send the outputs of a chunk; False if the batch failed and its partitions restart."""
        began = time.monotonic()
        try:
            self._publisher.current.write(partition.number, result)
        except Aborted as aborted:
            self._restore(aborted, [*batch.partitions(), partition])
            return False
        batch.write_seconds += time.monotonic() - began
        return True

    def commit(self, batch: Batch) -> bool:
        """Commit a batch; False if that failed and its partitions restart. Raises `Stop`."""
        return self._commit(batch.partitions(), batch.member)

    def abort(self, partitions: list[Partition]) -> None:
        """Drop the open batch, and restart its partitions."""
        try:
            self._publisher.current.abort()
        except Aborted as aborted:
            self._restore(aborted, partitions)
            return
        for partition in partitions:
            self._membership.restart(partition)

    def turn(self) -> None:
        """At each turn of the loop, serve the producer's callbacks and refresh old offsets."""
        self._publisher.current.poll()
        self._refresh_offsets()

    def _refresh_offsets(self) -> None:
        """Commit positions that have not moved for long, before the broker forgets them."""
        now = time.monotonic()
        stale = [
            partition
            for partition in self._membership.partitions.values()
            if partition.processor is not None
            and now - partition.committed_at > OFFSETS_REFRESH_SECONDS
        ]
        if stale:
            self._commit(stale, self._consumer.memberid())

    def _commit(self, partitions: list[Partition], member: str) -> bool:
        offsets = [place for each in partitions for place in self._membership.offsets(each)]
        began = time.monotonic()
        try:
            self._publisher.current.commit(offsets, member, self._consumer)
        except Aborted as aborted:
            self._restore(aborted, partitions)
            return False
        self._aborts_in_a_row = 0
        self._metrics.batches.count_transaction("committed")
        now = time.monotonic()
        self._metrics.batches.observe_stage("commit", now - began)
        for partition in partitions:
            partition.committed_at = now
        if self._repair.in_doubt(began):
            # All of it stands, or, without its markers, nothing: the log decides.
            log.warning("a commit outlasted its brokers: its shards are restored")
            for partition in partitions:
                self._membership.restart(partition)
            self._repair.abort_leftovers([partition.number for partition in partitions])
            return False
        return True

    def _restore(self, aborted: Aborted, partitions: list[Partition]) -> None:
        """Restart the partitions of an aborted batch; raises `Stop` after many in a row."""
        self._aborts_in_a_row += 1
        self._metrics.batches.count_transaction("aborted")
        log.warning("batch aborted, its shards are restored", extra={"reason": str(aborted)})
        for partition in partitions:
            self._membership.restart(partition)
        if isinstance(aborted, ProducerLost):
            self._replace_producer(aborted)
            self._repair.abort_leftovers([partition.number for partition in partitions])
        if self._aborts_in_a_row >= MAX_ABORTS_IN_A_ROW:
            raise Stop(
                f"{self._aborts_in_a_row} batches in a row were aborted, the last one because: "
                f"{aborted}"
            ) from aborted

    def _replace_producer(self, lost: ProducerLost) -> None:
        """Rebuild a producer that died for a known reason; raises `Stop` if two workers fight."""
        session = self._session_seconds
        if lost.seconds < session and not self._was_put_out_of_the_group(session):
            raise Stop(
                f"another worker runs under this one's transactional id, {self._publisher.name} "
                f"({lost}): give each worker a name of its own with the setting instance"
            ) from lost
        self._publisher.rebuild()

    def _was_put_out_of_the_group(self, session: float) -> bool:
        """Whether the group gives our partitions away within a session's length."""
        losses = self._membership.losses
        for partition in self._membership.partitions.values():
            self._membership.restart(partition)
        until = time.monotonic() + session
        while time.monotonic() < until and not self._stopping.is_set():
            self._health.beat()
            self._membership.fetch(1, WAIT_SECONDS)
            if self._membership.losses > losses:
                return True
        return False
