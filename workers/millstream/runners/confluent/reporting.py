"""What is seen of the loop from outside: metrics, warnings, and the breaker."""

import logging
import time
from collections import Counter
from typing import Final

from millstream.config.sections import BreakerSettings
from millstream.core.circuit_breaker import CircuitBreaker
from millstream.core.monitoring.quality import quality
from millstream.core.processing.partition_processor import PartitionProcessor
from millstream.delivery.batch import Batch
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS: Final = 1.0
WARN_INTERVAL_SECONDS: Final = 60.0


class LoopReporter:
    """Sees every batch, before and after it counts."""

    def __init__(
        self, breaker: BreakerSettings, dead_letters: str, metrics: Metrics, health: Health
    ) -> None:
        """`dead_letters`: the name of that topic."""
        self._breaker = CircuitBreaker(breaker.stop_ratio, breaker.window)
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._health = health
        self._buried: Counter[str] = Counter()
        self._warn_due = 0.0
        self._lag_due = 0.0

    def before_commit(self, batch: Batch) -> None:
        """Raises `Stop` where too much of what was consumed is bad."""
        records, reasons = batch.dead_letters()
        if records:
            self._breaker.add(records, sum(reasons.values()), reasons)

    def after_commit(self, batch: Batch) -> None:
        """Count what counts now."""
        now = time.time_ns() // 1_000_000
        for share in batch.shares():
            self._metrics.add(share.counts)
            for key, amount in share.counts.items():
                if key[0] == "dead_lettered":
                    self._buried[key[2]] += amount
            self._metrics.observe_latency(share.times, now)
            self._metrics.observe_label_delays(share.delays)
            partition = share.partition
            if partition.processor is not None:
                if share.scored:
                    kind = partition.processor.learner.kind
                    self._metrics.add_quality(quality(share.scored, kind))
                self._show_state(partition, partition.processor)

    def report_shards(self, membership: GroupMembership) -> None:
        """Say how many shards there are, and how many of them can work."""
        if membership.joined():
            assigned, restored = len(membership.partitions), membership.restored()
            self._health.set_shards(assigned, restored)
            self._metrics.set_shards(assigned, restored)

    def report_lag(self, membership: GroupMembership) -> None:
        """Say now and then how far behind the worker is, and what went to dead letters."""
        now = time.monotonic()
        if now < self._lag_due:
            return
        self._lag_due = now + LAG_INTERVAL_SECONDS
        self._warn_of_dead_letters(now)
        for partition in membership.partitions.values():
            if partition.processor is not None:
                self._show_state(partition, partition.processor)
                self._show_lag(membership, partition, partition.processor)

    def _show_state(self, partition: Partition, processor: PartitionProcessor) -> None:
        number, source = partition.number, processor.source
        self._metrics.set_model(number, source.model_name, source.model_version)
        self._metrics.set_learned(number, processor.learned)
        self._metrics.set_waiting(number, processor.waiting(), processor.held())

    def _show_lag(
        self, membership: GroupMembership, partition: Partition, processor: PartitionProcessor
    ) -> None:
        for side, at_end in membership.ends.reached(partition).items():
            records = membership.ends.lag(partition, side)
            if records is None:
                continue
            # Behind the last record there may be markers of transactions, for which nobody waits.
            if at_end and not processor.backlog(side):
                records = 0
            latest = partition.latest.get(side, -1)
            behind = time.time() - latest / 1000 if records and latest > 0 else 0.0
            self._metrics.set_lag(side, partition.number, records, max(0.0, behind))

    def _warn_of_dead_letters(self, now: float) -> None:
        if not self._buried or now < self._warn_due:
            return
        self._warn_due = now + WARN_INTERVAL_SECONDS
        log.warning(
            "records went to dead letters",
            extra={"topic": self._dead_letters, "reasons": dict(self._buried)},
        )
        self._buried.clear()
