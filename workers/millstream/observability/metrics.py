"""Every metric of a worker, with its meaning.

Counters count what has been *committed*: an aborted batch leaves no trace in them except in
`millstream_transactions_total{result="aborted"}`. Durations are seconds. What the Kafka clients
say of themselves is in `metrics_clients`.
"""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Final, Literal

import numpy as np
from prometheus_client import Counter, Gauge, Histogram, Info

from millstream._versions import __version__
from millstream.config.settings import Settings
from millstream.core.monitoring.quality import OUTCOMES, Quality
from millstream.core.records.record import InputName
from millstream.observability.batch_histogram import BatchHistogram
from millstream.observability.client_metrics import ClientStats
from millstream.observability.health import Health
from millstream.observability.outcome_counters import COUNTED
from millstream.observability.registry import OfAnApp

Stage = Literal["consume", "process", "produce", "commit", "restore", "snapshot"]

STAGES: Final[tuple[Stage, ...]] = (
    "consume",
    "process",
    "produce",
    "commit",
    "restore",
    "snapshot",
)

_STAGE_SECONDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600,
)  # fmt: skip
_LATENCY_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600,
)  # fmt: skip
_DELAY_SECONDS: Final = (
    0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 30 * 86400,
)  # fmt: skip
_BATCH_RECORDS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """The metrics of one worker, in a registry of their own."""

    def __init__(
        self, app: str | None = None, topics: Mapping[InputName, str] | None = None
    ) -> None:
        """`app` is a label of every sample, and `topics` of those that have a side."""
        self.registry = OfAnApp(app, topics or {})
        self._counters = self._outcome_counters()
        self._by_partition: list[Gauge] = []
        self._of_batches()
        self._of_quality()
        self.clients = ClientStats()
        self.registry.register(self.clients)
        self._of_the_group()
        self._of_partitions()
        self._of_restarts()
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

    def _outcome_counters(self) -> dict[tuple[str, ...], Counter]:
        counters = {}
        for key, meaning, labels, values in COUNTED:
            counter = Counter(f"millstream_{key}", meaning, labels, registry=self.registry)
            for value in values:
                counters[key, *value] = counter.labels(*value) if labels else counter
        return counters

    def _of_batches(self) -> None:
        transactions = Counter(
            "millstream_transactions",
            "Batches by how they ended; at least once, a flush and an offset commit count as one.",
            ["result"],
            registry=self.registry,
        )
        self._transactions = {r: transactions.labels(r) for r in ("committed", "aborted")}
        stages = Histogram(
            "millstream_stage_duration_seconds",
            "Time per batch spent to consume (waiting included), to process (decode, predict, "
            "learn), to produce and to commit; per shard, to restore it; and for a snapshot, how "
            "long the loop stood still.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._batch = Histogram(
            "millstream_batch_records",
            "Records (events and labels) in a batch.",
            buckets=_BATCH_RECORDS,
            registry=self.registry,
        )
        self._latency = BatchHistogram(
            "millstream_end_to_end_latency_seconds",
            "From an event's Kafka timestamp to the commit of its prediction.",
            _LATENCY_SECONDS,
        )
        self.registry.register(self._latency)

    def _of_quality(self) -> None:
        self._label_delay = BatchHistogram(
            "millstream_label_delay_seconds",
            "From an event to its label, by their message times; of labels that were learned.",
            _DELAY_SECONDS,
        )
        self.registry.register(self._label_delay)
        scored = Counter(
            "millstream_scored",
            "Predictions whose label was learned, by how they compare with it: number for a "
            "regressor; for a model of false and true the four outcomes; else correct or wrong.",
            ["outcome"],
            registry=self.registry,
        )
        self._scored = {outcome: scored.labels(outcome) for outcome in OUTCOMES}
        self._absolute_error = Counter(
            "millstream_absolute_error",
            "Sum of the absolute errors of what is counted as scored with the outcome number.",
            registry=self.registry,
        )

    def _of_the_group(self) -> None:
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

    def _of_partitions(self) -> None:
        self._models: dict[int, tuple[str, str]] = {}
        self._model = self._partition_gauge(
            "millstream_model_info",
            "Which model the shard predicts with: the name and version that its predictions carry.",
            "model",
            "version",
        )
        self._waiting_max = Gauge(
            "millstream_waiting_labels_max",
            "How many predictions of a partition may wait for their label (labels.max_waiting).",
            registry=self.registry,
        )
        self._waiting = self._partition_gauge(
            "millstream_waiting_labels", "Predictions that wait for their label."
        )
        self._held = self._partition_gauge(
            "millstream_held_labels", "Labels that wait for their event."
        )
        self._learned = self._partition_gauge(
            "millstream_learned_examples",
            "Examples that the shard's model has learned in its life.",
        )
        self._lag_records = self._partition_gauge(
            "millstream_lag_records",
            "Offsets between the last one processed and the end of the partition; 0 where only "
            "markers of transactional producers lie between the two.",
            "side",
        )
        self._lag_seconds = self._partition_gauge(
            "millstream_lag_seconds",
            "Age of the last record taken; 0 at the partition's end.",
            "side",
        )

    def _of_restarts(self) -> None:
        snapshots = Counter(
            "millstream_snapshots",
            "Snapshots by what became of them: written, failed (the worker goes on), or rejected "
            "by a restore, which then takes the one before.",
            ["result"],
            registry=self.registry,
        )
        self._snapshots = {r: snapshots.labels(r) for r in ("written", "failed", "rejected")}
        self._snapshot_bytes = self._partition_gauge(
            "millstream_snapshot_bytes", "Size of the shard's last snapshot."
        )
        self._snapshot_time = self._partition_gauge(
            "millstream_snapshot_timestamp_seconds",
            "When the shard's last snapshot was taken, or, without one, when it was restored, in "
            "seconds since 1970.",
        )
        self._restored = Counter(
            "millstream_restored_records",
            "Records of its own logs that this worker has read to restore shards.",
            registry=self.registry,
        )
        self._restore_seconds = self._partition_gauge(
            "millstream_last_restore_seconds", "How long the last restore of the shard took."
        )

    def _partition_gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """One that goes when its partition does."""
        gauge = Gauge(name, meaning, [*labels, "partition"], registry=self.registry)
        self._by_partition.append(gauge)
        return gauge

    def add(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Add a committed outcome's counts; raises KeyError for a name not listed above."""
        for key, amount in counts.items():
            self._counters[key].inc(amount)

    def count_transaction(self, result: Literal["committed", "aborted"]) -> None:
        """Count a transaction by how it ended."""
        self._transactions[result].inc()

    def count_rebalance(self, change: Literal["assigned", "revoked", "lost"]) -> None:
        """Count a change of the assignment."""
        self._rebalances[change].inc()

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        """Time that a stage took for one batch (`restore`: for one shard)."""
        self._stages[stage].observe(seconds)

    def observe_batch(self, records: int) -> None:
        """Size of a batch."""
        self._batch.observe(records)

    def observe_latency(self, timestamps_ms: Sequence[int], now_ms: int) -> None:
        """End-to-end latency of a batch: its events' Kafka timestamps, and the time of commit.

        Events without a timestamp (-1) are left out; one from the future counts as 0.
        """
        times = np.asarray(timestamps_ms, dtype=np.int64)
        self._latency.observe_many(np.maximum(now_ms - times[times >= 0], 0) / 1000)

    def observe_label_delays(self, delays_ms: Sequence[int]) -> None:
        """How long after their events the labels of a batch came; one before its event counts 0."""
        delays = np.asarray(delays_ms, dtype=np.int64)
        self._label_delay.observe_many(np.maximum(delays, 0) / 1000)

    def add_quality(self, quality: Quality) -> None:
        """How the predictions of a batch compare with their labels."""
        for outcome, amount in quality.outcomes.items():
            self._scored[outcome].inc(amount)
        self._absolute_error.inc(quality.absolute_error)

    def watch_progress(self, seconds: Callable[[], float]) -> None:
        """What to ask, at each scrape, how long ago the loop last made a turn."""
        self._progress.set_function(seconds)

    def set_model(self, partition: int, name: str, version: str) -> None:
        """Which model a shard predicts with from now on."""
        if self._models.get(partition) != (name, version):
            self._model.remove_by_labels({"partition": str(partition)})
            self._models[partition] = (name, version)
        self._model.labels(name, version, str(partition)).set(1)

    def set_waiting_max(self, most: int) -> None:
        """How many predictions of a partition may wait for their label."""
        self._waiting_max.set(most)

    def set_waiting(self, partition: int, waiting: int, held: int) -> None:
        """Predictions that wait for labels, and labels that wait for events, in a shard."""
        self._waiting.labels(str(partition)).set(waiting)
        self._held.labels(str(partition)).set(held)

    def set_learned(self, partition: int, examples: int) -> None:
        """Examples that a shard's model has learned."""
        self._learned.labels(str(partition)).set(examples)

    def count_snapshot(self, result: Literal["written", "failed", "rejected"]) -> None:
        """Count a snapshot by what became of it."""
        self._snapshots[result].inc()

    def set_snapshot(self, partition: int, size: int, taken_at_ms: int) -> None:
        """Size and age of a shard's last snapshot."""
        self._snapshot_bytes.labels(str(partition)).set(size)
        self._snapshot_time.labels(str(partition)).set(taken_at_ms / 1000)

    def observe_restore(self, partition: int, records: int, seconds: float) -> None:
        """What a restore read, and how long it took."""
        self._restored.inc(records)
        self._restore_seconds.labels(str(partition)).set(seconds)

    def set_broker_silence(self, seconds: float) -> None:
        """For how long no broker has answered."""
        self._broker_silence.set(seconds)

    def set_lag(self, side: InputName, partition: int, records: int, seconds: float) -> None:
        """How far behind the end of its input a shard is."""
        self._lag_records.labels(side, str(partition)).set(records)
        self._lag_seconds.labels(side, str(partition)).set(seconds)

    def set_shards(self, assigned: int, restored: int) -> None:
        """How many shards this worker owns, and how many of them can work."""
        self._shards.labels("assigned").set(assigned)
        self._shards.labels("restored").set(restored)

    def remove_partition(self, partition: int) -> None:
        """Forget the gauges of a shard that another worker owns now."""
        self._models.pop(partition, None)
        for gauge in self._by_partition:
            gauge.remove_by_labels({"partition": str(partition)})


def metrics_of(settings: Settings, health: Health) -> Metrics:
    """The metrics of a worker of this app, whose loop `health` watches."""
    metrics = Metrics(settings.app, settings.inputs)
    metrics.watch_progress(health.seconds_since_beat)
    if settings.has_delayed_labels:
        metrics.set_waiting_max(settings.labels.max_waiting)
    return metrics
