"""What is seen of the loop from outside: metrics, warnings, and the breaker."""

import logging
import time
from collections import Counter
from typing import Final

from millstream.health import Health
from millstream.metrics import Metrics
from millstream.runners.batch import Batch
from millstream.runners.breaker import Breaker
from millstream.runners.membership import Membership
from millstream.settings import BreakerSettings

log = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS: Final = 1.0
WARN_INTERVAL_SECONDS: Final = 60.0


class Watch:
    """Sees every batch, before and after it counts."""

    def __init__(
        self, breaker: BreakerSettings, dead_letters: str, metrics: Metrics, health: Health
    ) -> None:
        """`dead_letters`: the name of that topic."""
        self._breaker = Breaker(breaker.stop_ratio, breaker.window)
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
            partition = share.partition
            if share.times:
                partition.latest = share.times[-1]
            if partition.shard is not None:
                self._metrics.set_learned(partition.number, partition.shard.learned)
                self._metrics.set_waiting(
                    partition.number, partition.shard.waiting(), partition.shard.held()
                )

    def report_shards(self, membership: Membership) -> None:
        """Say how many shards there are, and how many of them can work."""
        if membership.joined():
            assigned, restored = len(membership.partitions), membership.restored()
            self._health.set_shards(assigned, restored)
            self._metrics.set_shards(assigned, restored)

    def report_lag(self, membership: Membership) -> None:
        """Say now and then how far behind the worker is, and what went to dead letters."""
        now = time.monotonic()
        if now < self._lag_due:
            return
        self._lag_due = now + LAG_INTERVAL_SECONDS
        self._warn_of_dead_letters(now)
        for partition in membership.partitions.values():
            behind = (
                max(0.0, time.time() - partition.latest / 1000) if partition.latest > 0 else 0.0
            )
            for side in partition.positions:
                records = membership.ends.lag(partition, side)
                if records is not None:
                    # How old the last event worked off is; nothing is late where nothing waits.
                    self._metrics.set_lag(side, partition.number, records, behind if records else 0)

    def _warn_of_dead_letters(self, now: float) -> None:
        if not self._buried or now < self._warn_due:
            return
        self._warn_due = now + WARN_INTERVAL_SECONDS
        log.warning(
            "records went to dead letters",
            extra={"topic": self._dead_letters, "reasons": dict(self._buried)},
        )
        self._buried.clear()
