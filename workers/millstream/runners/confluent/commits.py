"""Publishes batches, and sees to what happens where one fails: its shards are restored."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from confluent_kafka import Consumer

from millstream.config.settings import Settings
from millstream.core.records.record import BatchResult
from millstream.delivery.at_least_once import AtLeastOnce
from millstream.delivery.batch import Batch
from millstream.delivery.exactly_once import ExactlyOnce
from millstream.delivery.hanging_transactions import HangingTransactions
from millstream.delivery.publisher import Aborted, OutputTopics, ProducerLost, RetryPolicy
from millstream.errors import Stop
from millstream.kafka.client_config import producer_config, session_timeout_ms, with_statistics
from millstream.kafka.transactional_id import TransactionalIdLease
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

OFFSETS_REFRESH_SECONDS: Final = 1800.0
"""Brokers forget offsets that nobody commits, of topics not subscribed to even in a live group."""
MAX_ABORTS_IN_A_ROW: Final = 10
WAIT_SECONDS: Final = 0.1

Publish = ExactlyOnce | AtLeastOnce


def publisher_builder(
    settings: Settings,
    names: OutputTopics,
    slot: TransactionalIdLease,
    patience: RetryPolicy,
    metrics: Metrics,
) -> Callable[[], Publish]:
    """How to make a publisher of the guarantee that the settings name."""
    exactly_once = settings.processing_guarantee == "exactly_once"
    statistics = partial(metrics.clients.take, "producer")
    config = with_statistics(
        producer_config(settings, slot.name if exactly_once else None), statistics
    )

    def build() -> Publish:
        if not exactly_once:
            return AtLeastOnce(config, names, patience)
        ready = slot.early.take(statistics) if slot.early is not None else None
        return ExactlyOnce(config, names, patience, ready)

    return build


class BatchCommitter:
    """The way of a batch out of the worker."""

    def __init__(
        self,
        settings: Settings,
        build: Callable[[], Publish],
        slot: str,
        metrics: Metrics,
        health: Health,
        stopping: threading.Event,
    ) -> None:
        """Makes the first publisher; raises KafkaException where that fails."""
        self._session_seconds = session_timeout_ms(settings) / 1000
        self._build = build
        self._slot = slot
        self._metrics = metrics
        self._health = health
        self._stopping = stopping
        self._aborts_in_a_row = 0
        self.publisher = build()

    def join(
        self, consumer: Consumer, membership: GroupMembership, hanging: HangingTransactions
    ) -> None:
        """Publish in the name of this member."""
        self._consumer = consumer
        self._membership = membership
        self._hanging = hanging

    def rest(self) -> None:
        """Before a batch is fetched: wait where the one before is to settle first."""
        self.publisher.rest()

    def write(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:
        """Take a piece into the batch; False where the batch failed and does not count."""
        began = time.monotonic()
        try:
            self.publisher.write(partition.number, result)
        except Aborted as aborted:
            self._restore(aborted, [*batch.partitions(), partition])
            return False
        batch.add(partition, result)
        batch.write_seconds += time.monotonic() - began
        return True

    def commit(self, batch: Batch) -> bool:
        """Commit a batch; where that fails, restore its shards. Returns whether it counts."""
        return self._commit(batch.partitions(), batch.member)

    def abort(self, partitions: list[Partition]) -> None:
        """Drop the open batch, and restore its shards."""
        try:
            self.publisher.abort()
        except Aborted as aborted:
            self._restore(aborted, partitions)
            return
        for partition in partitions:
            self._membership.restart(partition)

    def turn(self) -> None:
        """At each turn of the loop: let the producer speak, and see to offsets that rest."""
        self.publisher.poll()
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

    def close(self) -> None:
        """Let go of the broker."""
        self.publisher.close()

    def _commit(self, partitions: list[Partition], member: str) -> bool:
        offsets = [place for each in partitions for place in self._membership.offsets(each)]
        began = time.monotonic()
        try:
            self.publisher.commit(offsets, member, self._consumer)
        except Aborted as aborted:
            self._restore(aborted, partitions)
            return False
        self._aborts_in_a_row = 0
        self._metrics.batches.count_transaction("committed")
        now = time.monotonic()
        self._metrics.batches.observe_stage("commit", now - began)
        for partition in partitions:
            partition.committed_at = now
        if isinstance(self.publisher, ExactlyOnce) and self._hanging.in_doubt(began):
            # All of it stands, or, without its markers, nothing: the log is to say which.
            log.warning("a commit outlasted its brokers: its shards are restored")
            for partition in partitions:
                self._membership.restart(partition)
            self._leave_nothing_open(partitions)
            return False
        return True

    def _restore(self, aborted: Aborted, partitions: list[Partition]) -> None:
        """Throw away what did not count; raises `Stop` where that happens again and again."""
        self._aborts_in_a_row += 1
        self._metrics.batches.count_transaction("aborted")
        log.warning("batch aborted, its shards are restored", extra={"reason": str(aborted)})
        for partition in partitions:
            self._membership.restart(partition)
        if isinstance(aborted, ProducerLost):
            self._replace_producer(aborted)
            self._leave_nothing_open(partitions)
        if self._aborts_in_a_row >= MAX_ABORTS_IN_A_ROW:
            raise Stop(
                f"{self._aborts_in_a_row} batches in a row were aborted, the last one because: "
                f"{aborted}"
            ) from aborted

    def mend(self, partition: int, progress: object, committed: Callable[[int], object]) -> bool:
        """While a partition is restored: see `HangingTransactions.mend`."""
        return self._hanging.mend(partition, progress, committed, self._cover)

    def end_own(self, partition: int) -> None:
        """Before a partition is restored: see `HangingTransactions.end_own`."""
        if isinstance(self.publisher, ExactlyOnce):
            self._hanging.end_own(partition, self._cover)

    def _cover(self, partitions: Sequence[int]) -> None:
        """End what hangs of this worker's in partitions; raises `Aborted`."""
        try:
            self._hanging.cover(self.publisher, partitions)
        except ProducerLost:
            self._rebuild()
            raise

    def _leave_nothing_open(self, partitions: list[Partition]) -> None:
        """After a transaction whose markers a broker may have dropped."""
        try:
            self._cover([partition.number for partition in partitions])
        except Aborted as failed:  # the restore that follows tries again, where it is held up
            log.warning("a transaction may be left open", extra={"reason": str(failed)})

    def _replace_producer(self, lost: ProducerLost) -> None:
        """A producer that is dead for a known reason is built again; else two workers fight."""
        session = self._session_seconds
        if lost.seconds < session and not self._was_put_out_of_the_group(session):
            raise Stop(
                f"another worker runs under this one's transactional id, {self._slot} "
                f"({lost}): give each worker a name of its own with the setting instance"
            ) from lost
        self._rebuild()

    def _rebuild(self) -> None:
        self.publisher.close()
        self.publisher = self._build()

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
