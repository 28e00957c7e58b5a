"""What all restores of a worker share."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka.admin import AdminClient

from millstream._versions import library_versions
from millstream.config.settings import Settings
from millstream.core.join.pending_store import MemoryPendingStore, PendingStore
from millstream.core.models.factory import definition_digest
from millstream.core.models.interface.learner import Learner
from millstream.core.records.crash_markers import CrashMarker
from millstream.core.records.outputs import PartitionSource
from millstream.kafka.log_reader import OffsetRange
from millstream.kafka.watermarks import KafkaLogReader, Watermarks
from millstream.observability.metrics import Metrics
from millstream.state.retained_store import RetainedStore
from millstream.state.snapshot_search import SnapshotLoader
from millstream.state.snapshot_writer import StoredSnapshots


class EpochLog(Protocol):
    """How a new owner announces itself where no transaction fences the old one."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there."""


class RestoreLogs(Protocol):
    """Where a restore reads: the logs of all partitions, one stretch at a time."""

    records_read: int
    """So many in all."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and the offset after the last record that was ever written."""

    def open(self, offset_range: OffsetRange) -> None:
        """Begin with a stretch."""

    def done(self) -> bool:
        """Whether it is read to its end."""

    def step(self, timeout: float) -> None:
        """Read a piece of it, waiting for at most `timeout` seconds; raises `Stop`."""

    def close(self) -> None:
        """Let go of the stretch."""


class TopicFacts(NamedTuple):
    """What the brokers say of the topics."""

    partitions: int
    """Of events."""
    topic_ids: dict[str, str]
    """Topic to id; empty where they do not say."""
    max_bytes: int
    """The largest message that every output topic takes."""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore began from."""

    learned: int
    """Examples in the snapshot; 0 without one. Likewise `positions`."""
    positions: Mapping[str, int]
    kept: StoredSnapshots
    claims: dict[str, int]
    """At least once: see `OwnershipHistory.chain`."""
    version: str = ""
    """Of the model, with its lineage."""
    attempt: CrashMarker | None = None
    """What the process before died over: see `runners.quarantine`."""


NOTHING_RESTORED: Final = RestoreResult(0, {}, StoredSnapshots(), {})


def wall_clock() -> int:
    """The time of day, ms since 1970."""
    return time.time_ns() // 1_000_000


class RestoreContext:
    """What all restores of a worker share, wherever its logs are."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        logs: RestoreLogs,
        owner_log: EpochLog | None,
        told: TopicFacts,
        metrics: Metrics,
        build_store: Callable[[], PendingStore] = MemoryPendingStore,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """`owner_log` is None where transactions fence the old owner, and for who only looks.

        `build_store` makes the place where a partition's predictions wait; `clock` tells ms.
        """
        self.settings = settings
        self.build_learner = build_learner
        self.owner_log = owner_log
        self.clock = clock
        self.claims = owner_log is not None
        self._build_store = build_store
        self.told = told
        self.reader = logs
        self.late = settings.has_delayed_labels
        probe = build_learner()
        self.folds_events = probe.learns and not self.late
        self.learns = probe.learns
        self.batched = probe.batched
        self.version = definition_digest(settings.model, settings.labels, probe.made)
        self.versions = library_versions()
        self.metrics = metrics
        self.opener = SnapshotLoader(settings, build_learner, self.versions)

    def close(self) -> None:
        """Let go of the broker."""
        self.reader.close()

    def new_store(self) -> RetainedStore:
        """Where the predictions of one partition wait."""
        return RetainedStore(self._build_store(), fenced=not self.claims)

    def logs(self) -> list[str]:
        """The topics that a shard's state belongs to."""
        settings = self.settings
        if not self.late:
            return [settings.events.topic]
        return [settings.events.topic, str(settings.labels.topic),
                settings.topic("predictions"), settings.topic("examples")]  # fmt: skip

    def source(self, partition: int) -> PartitionSource:
        """Where a partition's records come from."""
        settings = self.settings
        return PartitionSource(
            partition=partition,
            events=settings.events.topic,
            labels=settings.labels.topic if self.late else None,
            model_name=settings.model.name or settings.app,
            model_version=self.version,
            max_bytes=self.told.max_bytes,
            features=settings.predictions.features,
        )


class KafkaRestoreContext(RestoreContext):
    """The same, for logs on Kafka."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        admin: AdminClient,
        reader_config: dict[str, Any],
        owner_log: EpochLog | None,
        told: TopicFacts,
        metrics: Metrics,
        build_store: Callable[[], PendingStore] = MemoryPendingStore,
    ) -> None:
        """`reader_config`: of a consumer outside of the group. The rest as `RestoreContext`."""
        self.admin = admin
        self.bounds = Watermarks(reader_config)
        logs = KafkaLogReader(self.bounds, reader_config)
        super().__init__(settings, build_learner, logs, owner_log, told, metrics, build_store)
