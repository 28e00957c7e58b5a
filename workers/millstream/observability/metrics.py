"""Metrics of a worker.

Counters count what has been *committed*: an aborted batch leaves no trace in them except in
`millstream_transactions_total{result="aborted"}`. Durations are seconds. Statistics of the Kafka
clients are in `client_metrics`.
"""

import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Literal

from prometheus_client import Counter, Gauge, Info

from millstream._versions import __version__
from millstream.config.settings import Settings
from millstream.core.records.record import InputName
from millstream.observability.batch_metrics import BatchMetrics
from millstream.observability.client_metrics import ClientStats
from millstream.observability.health import Health
from millstream.observability.partition_metrics import PartitionMetrics
from millstream.observability.prometheus import AppRegistry


class Metrics:
    """The metrics of one worker, in a registry of their own."""

    def __init__(
        self, app: str | None = None, topics: Mapping[InputName, str] | None = None
    ) -> None:
        """`app` is a label of every sample, and `topics` of those that have an input."""
        self.registry = AppRegistry(app, topics or {})
        self.batches = BatchMetrics(self.registry)
        self.clients = ClientStats()
        self.registry.register(self.clients)
        rebalances = Counter(
            "millstream_rebalances",
            "Calls by which the group gave this worker partitions or took some away.",
            ["change"],
            registry=self.registry,
        )
        self._rebalances = {c: rebalances.labels(c) for c in ("assigned", "revoked", "lost")}
        self._shards = Gauge(
            "millstream_shards",
            "Shards (partitions of events) that this worker owns, and how many are restored.",
            ["state"],
            registry=self.registry,
        )
        self.set_shards(assigned=0, restored=0)
        self.partitions = PartitionMetrics(self.registry)
        self._progress = Gauge(
            "millstream_seconds_since_progress",
            "How long ago the worker's loop last made a turn; an idle one makes several a second.",
            registry=self.registry,
        )
        Gauge(
            "millstream_start_time_seconds",
            "When this worker started, in seconds since 1970.",
            registry=self.registry,
        ).set(time.time())
        self._broker_silence = Gauge(
            "millstream_broker_silence_seconds",
            "For how long no broker has answered; 0 while one does.",
            registry=self.registry,
        )
        self._set_versions()

    def _set_versions(self) -> None:
        build = Info(
            "millstream_build", "Versions that this worker runs on.", registry=self.registry
        )
        libraries = ("river", "scikit-learn", "confluent-kafka")
        build.info(
            {
                "version": __version__,
                "python": platform.python_version(),
                **{name.replace("-", "_"): version(name) for name in libraries},
            }
        )

    def count_rebalance(self, change: Literal["assigned", "revoked", "lost"]) -> None:
        """Count a change of the assignment."""
        self._rebalances[change].inc()

    def set_shards(self, assigned: int, restored: int) -> None:
        """Set how many partitions this worker owns, and how many of them are restored."""
        self._shards.labels("assigned").set(assigned)
        self._shards.labels("restored").set(restored)

    def set_broker_silence(self, seconds: float) -> None:
        """Set for how many seconds no broker has answered."""
        self._broker_silence.set(seconds)

    def watch_progress(self, seconds: Callable[[], float]) -> None:
        """Ask `seconds`, at each scrape, how long ago the loop last made a turn."""
        self._progress.set_function(seconds)


def metrics_of(settings: Settings, health: Health) -> Metrics:
    """Metrics of a worker of this app; `health` says when its loop last made a turn."""
    metrics = Metrics(settings.app, settings.inputs)
    metrics.watch_progress(health.seconds_since_beat)
    if settings.has_delayed_labels:
        metrics.partitions.set_pending_max(settings.labels.max_waiting)
    return metrics
