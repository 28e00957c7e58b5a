"""Metrics of batches: counts, durations, and the quality of predictions."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from millstream.core.monitoring.quality import OUTCOMES, Quality
from millstream.core.records.record import REASONS, InputName
from millstream.observability.prometheus import BatchHistogram

Stage = Literal["consume", "process", "produce", "commit", "restore", "snapshot"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

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

_INPUTS: Final[tuple[InputName, ...]] = ("events", "labels")
_SKIPS: Final = ("tombstone", "duplicate_label", "replayed")
_EXPIRIES: Final = ("drop", "assume", "early")

_Values = Sequence[tuple[str, ...]]
COUNTED: Final[tuple[tuple[str, str, tuple[str, ...], _Values], ...]] = (
    ("consumed", "Records taken in, by side.", ("side",), [(name,) for name in _INPUTS]),
    ("predicted", "Predictions published.", (), [()]),
    ("learned", "Examples learned.", (), [()]),
    (
        "dead_lettered",
        "Records sent to dead letters, by the stage that failed and why.",
        ("stage", "reason"),
        [(stage, reason) for reason, (stage, _) in REASONS.items()],
    ),
    (
        "skipped",
        (
            "Records that need nothing done: a tombstone, a label for an id already resolved, "
            "an input that an earlier commit covers."
        ),
        ("why",),
        [(why,) for why in _SKIPS],
    ),
    (
        "expired",
        (
            "Predictions whose label did not come, by what was done: drop, learn the assumed "
            "one, or give up early to make room (labels.at_max)."
        ),
        ("outcome",),
        [(result,) for result in _EXPIRIES],
    ),
    (
        "repeated_id",
        "Events predicted whose id was already waiting for its label, or lately resolved.",
        (),
        [()],
    ),
    (
        "unlabelled",
        "Events predicted without their inline label, so not learned from.",
        (),
        [()],
    ),
    ("unknown_fields", "Fields ignored that the settings do not name.", (), [()]),
    ("held", "Labels that came before their event and are held for it.", (), [()]),
)
"""Names that `BatchResult.counts` may have, with meaning, labels, and the labels' values, all of
which are exported from zero on."""


class BatchMetrics:
    """The metrics of committed and aborted batches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = _outcome_counters(registry)
        transactions = Counter(
            "millstream_transactions",
            "Batches by how they ended; at least once, a flush and an offset commit count as one.",
            ["result"],
            registry=registry,
        )
        self._transactions = {r: transactions.labels(r) for r in ("committed", "aborted")}
        stages = Histogram(
            "millstream_stage_duration_seconds",
            "Time per batch spent to consume (waiting included), to process (decode, predict, "
            "learn), to produce and to commit; per shard, to restore it; and for a snapshot, how "
            "long the loop stood still.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._batch = Histogram(
            "millstream_batch_records",
            "Records (events and labels) in a batch.",
            buckets=_BATCH_RECORDS,
            registry=registry,
        )
        self._latency = BatchHistogram(
            "millstream_end_to_end_latency_seconds",
            "From an event's Kafka timestamp to the commit of its prediction.",
            _LATENCY_SECONDS,
        )
        self._label_delay = BatchHistogram(
            "millstream_label_delay_seconds",
            "From an event to its label, by their message times; of labels that were learned.",
            _DELAY_SECONDS,
        )
        scored = Counter(
            "millstream_scored",
            "Predictions whose label was learned, by how they compare with it: number for a "
            "regressor; for a model of false and true the four outcomes; else correct or wrong.",
            ["outcome"],
            registry=registry,
        )
        self._scored = {outcome: scored.labels(outcome) for outcome in OUTCOMES}
        self._absolute_error = Counter(
            "millstream_absolute_error",
            "Sum of the absolute errors of what is counted as scored with the outcome number.",
            registry=registry,
        )
        registry.register(self._latency)
        registry.register(self._label_delay)

    def add(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Add the counts of a committed batch; raises KeyError for one that is not in `COUNTED`."""
        for key, amount in counts.items():
            self._counters[key].inc(amount)

    def count_transaction(self, result: Literal["committed", "aborted"]) -> None:
        """Count a transaction by how it ended."""
        self._transactions[result].inc()

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        """Observe how long a stage took for one batch (`restore`: for one partition)."""
        self._stages[stage].observe(seconds)

    def observe_batch(self, records: int) -> None:
        """Observe the size of a batch."""
        self._batch.observe(records)

    def observe_latency(self, timestamps_ms: Sequence[int], now_ms: int) -> None:
        """Observe the latency of each event, from its Kafka timestamp to the commit, both in ms.

        Events without a timestamp (-1) are left out; one from the future counts as 0.
        """
        times = np.asarray(timestamps_ms, dtype=np.int64)
        self._latency.observe_many(np.maximum(now_ms - times[times >= 0], 0) / 1000)

    def observe_label_delays(self, delays_ms: Sequence[int]) -> None:
        """Observe the ms from each event to its label; a label before its event counts 0."""
        delays = np.asarray(delays_ms, dtype=np.int64)
        self._label_delay.observe_many(np.maximum(delays, 0) / 1000)

    def add_quality(self, quality: Quality) -> None:
        """Add how the predictions of a batch compare with their labels."""
        for outcome, amount in quality.outcomes.items():
            self._scored[outcome].inc(amount)
        self._absolute_error.inc(quality.absolute_error)


def _outcome_counters(registry: CollectorRegistry) -> dict[tuple[str, ...], Counter]:
    counters = {}
    for key, meaning, labels, values in COUNTED:
        counter = Counter(f"millstream_{key}", meaning, labels, registry=registry)
        for value in values:
            counters[key, *value] = counter.labels(*value) if labels else counter
    return counters
