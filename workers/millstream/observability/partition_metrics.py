"""Metrics of each partition that a worker owns."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from millstream.core.records.record import InputName


class PartitionMetrics:
    """Model, pending labels, lag, snapshots and restores, by the label `partition`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._gauges: list[Gauge] = []
        self._models: dict[int, tuple[str, str]] = {}
        self._model = self._gauge(
            "millstream_model_info",
            "Which model the shard predicts with: the name and version that its predictions carry.",
            "model",
            "version",
        )
        self._pending_max = Gauge(
            "millstream_waiting_labels_max",
            "How many predictions of a partition may wait for their label (labels.max_waiting).",
            registry=registry,
        )
        self._pending = self._gauge(
            "millstream_waiting_labels", "Predictions that wait for their label."
        )
        self._early = self._gauge("millstream_held_labels", "Labels that wait for their event.")
        self._learned = self._gauge(
            "millstream_learned_examples",
            "Examples that the shard's model has learned in its life.",
        )
        self._lag_records = self._gauge(
            "millstream_lag_records",
            "Offsets between the last one processed and the end of the partition; 0 where only "
            "markers of transactional producers lie between the two.",
            "side",
        )
        self._lag_seconds = self._gauge(
            "millstream_lag_seconds",
            "Age of the last record taken; 0 at the partition's end.",
            "side",
        )
        snapshots = Counter(
            "millstream_snapshots",
            "Snapshots by what became of them: written, failed (the worker goes on), or rejected "
            "by a restore, which then takes the one before.",
            ["result"],
            registry=registry,
        )
        self._snapshots = {r: snapshots.labels(r) for r in ("written", "failed", "rejected")}
        self._snapshot_bytes = self._gauge(
            "millstream_snapshot_bytes", "Size of the shard's last snapshot."
        )
        self._snapshot_time = self._gauge(
            "millstream_snapshot_timestamp_seconds",
            "When the shard's last snapshot was taken, or, without one, when it was restored, in "
            "seconds since 1970.",
        )
        self._restored = Counter(
            "millstream_restored_records",
            "Records of its own logs that this worker has read to restore shards.",
            registry=registry,
        )
        self._restore_seconds = self._gauge(
            "millstream_last_restore_seconds", "How long the last restore of the shard took."
        )

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """A gauge that is removed with its partition."""
        gauge = Gauge(name, meaning, [*labels, "partition"], registry=self._registry)
        self._gauges.append(gauge)
        return gauge

    def set_model(self, partition: int, name: str, version: str) -> None:
        """Set the model that a partition predicts with from now on."""
        if self._models.get(partition) != (name, version):
            self._model.remove_by_labels({"partition": str(partition)})
            self._models[partition] = (name, version)
        self._model.labels(name, version, str(partition)).set(1)

    def set_pending_max(self, most: int) -> None:
        """Set how many predictions of a partition may wait for their label."""
        self._pending_max.set(most)

    def set_pending(self, partition: int, pending: int, early: int) -> None:
        """Set how many predictions wait for their labels, and early labels for their events."""
        self._pending.labels(str(partition)).set(pending)
        self._early.labels(str(partition)).set(early)

    def set_learned(self, partition: int, examples: int) -> None:
        """Set how many examples a partition's model has learned."""
        self._learned.labels(str(partition)).set(examples)

    def set_lag(self, input_name: InputName, partition: int, records: int, seconds: float) -> None:
        """Set how far a partition is behind the end of an input."""
        self._lag_records.labels(input_name, str(partition)).set(records)
        self._lag_seconds.labels(input_name, str(partition)).set(seconds)

    def count_snapshot(self, result: Literal["written", "failed", "rejected"]) -> None:
        """Count a snapshot by what became of it."""
        self._snapshots[result].inc()

    def set_snapshot(self, partition: int, size: int, taken_at_ms: int) -> None:
        """Set size (bytes) and time (ms since 1970) of a partition's last snapshot."""
        self._snapshot_bytes.labels(str(partition)).set(size)
        self._snapshot_time.labels(str(partition)).set(taken_at_ms / 1000)

    def observe_restore(self, partition: int, records: int, seconds: float) -> None:
        """Count the records that a restore has read, and set how long it took."""
        self._restored.inc(records)
        self._restore_seconds.labels(str(partition)).set(seconds)

    def remove_partition(self, partition: int) -> None:
        """Remove the gauges of a partition that another worker owns now."""
        self._models.pop(partition, None)
        for gauge in self._gauges:
            gauge.remove_by_labels({"partition": str(partition)})
