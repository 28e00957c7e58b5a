"""Metrics, health and warnings of the loop."""

import logging
import time
from collections import Counter
from typing import Final

from millstream.core.monitoring.quality import quality
from millstream.core.processing.processor import PartitionProcessor
from millstream.delivery.batch import Batch
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS: Final = 1.0
WARN_INTERVAL_SECONDS: Final = 60.0


class LoopReporter:
    """Reports committed batches, partitions and lag."""

    def __init__(self, dead_letters: str, metrics: Metrics, health: Health) -> None:
        """`dead_letters`: the name of that topic."""
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._health = health
        self._rejected: Counter[str] = Counter()
        self._warn_due = 0.0
        self._lag_due = 0.0

    def after_commit(self, batch: Batch) -> None:
        """Count the records of a committed batch."""
        now = time.time_ns() // 1_000_000
        for share in batch.shares():
            self._metrics.batches.add(share.counts)
            for key, amount in share.counts.items():
                if key[0] == "dead_lettered":
                    self._rejected[key[2]] += amount
            self._metrics.batches.observe_latency(share.times, now)
            self._metrics.batches.observe_label_delays(share.delays)
            partition = share.partition
            if partition.processor is not None:
                if share.scored:
                    kind = partition.processor.learner.traits.kind
                    self._metrics.batches.add_quality(quality(share.scored, kind))
                self._show_state(partition, partition.processor)

    def report_shards(self, membership: GroupMembership) -> None:
        """Report how many partitions are assigned, and how many of them are ready."""
        if membership.joined():
            assigned, restored = len(membership.partitions), membership.restored()
            self._health.set_shards(assigned, restored)
            self._metrics.set_shards(assigned, restored)

    def report_lag(self, membership: GroupMembership) -> None:
        """Report once a second the lag and, less often, the dead letters."""
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
        self._metrics.partitions.set_model(number, source.model_name, source.model_version)
        self._metrics.partitions.set_learned(number, processor.learned)
        self._metrics.partitions.set_pending(number, processor.pending(), processor.early_labels())

    def _show_lag(
        self, membership: GroupMembership, partition: Partition, processor: PartitionProcessor
    ) -> None:
        for input_name, at_end in membership.ends.reached(partition).items():
            records = membership.ends.lag(partition, input_name)
            if records is None:
                continue
            # Behind the last record there may be transaction markers, which are no lag.
            if at_end and not processor.backlog(input_name):
                records = 0
            latest = partition.latest.get(input_name, -1)
            behind = time.time() - latest / 1000 if records and latest > 0 else 0.0
            self._metrics.partitions.set_lag(
                input_name, partition.number, records, max(0.0, behind)
            )

    def _warn_of_dead_letters(self, now: float) -> None:
        if not self._rejected or now < self._warn_due:
            return
        self._warn_due = now + WARN_INTERVAL_SECONDS
        log.warning(
            "records went to dead letters",
            extra={"topic": self._dead_letters, "reasons": dict(self._rejected)},
        )
        self._rejected.clear()
