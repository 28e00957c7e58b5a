"""Context that all restores of a worker share."""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka.admin import AdminClient

from millstream._versions import library_versions
from millstream.config.settings import Settings
from millstream.core.join.pending_store import MemoryPendingStore, PendingStore
from millstream.core.models.factory import definition_digest
from millstream.core.models.interface.learner import Learner
from millstream.core.records.outputs import PartitionSource
from millstream.kafka.log_reader import KafkaLogReader
from millstream.kafka.watermarks import Watermarks
from millstream.observability.metrics import Metrics
from millstream.snapshots.search import SnapshotLoader
from millstream.state.ports import EpochLog, RestoreLogs, TopicFacts
from millstream.state.retained_store import RetainedStore


def wall_clock() -> int:
    """The time of day, ms since 1970."""
    return time.time_ns() // 1_000_000


class RestoreContext:
    """Settings, logs, model and stores of a worker's restores, wherever its logs are."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        logs: RestoreLogs,
        epoch_log: EpochLog | None,
        topics: TopicFacts,
        metrics: Metrics,
        build_store: Callable[[], PendingStore] = MemoryPendingStore,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """Builds the learner once, to learn its traits.

        `epoch_log`: None where transactions fence the old owner, and for read-only commands.
        `build_store`: makes a store of pending predictions. `clock`: ms since 1970.
        """
        self.settings = settings
        self.build_learner = build_learner
        self.epoch_log = epoch_log
        self.clock = clock
        self.claims = epoch_log is not None
        self._build_store = build_store
        self.topics = topics
        self.reader = logs
        self.late = settings.has_delayed_labels
        traits = build_learner().traits
        self.replays_events = traits.learns and not self.late
        self.learns = traits.learns
        self.batched = traits.batched
        self.version = definition_digest(
            settings.model, settings.labels, traits.factory_fingerprint
        )
        self.versions = library_versions()
        self.metrics = metrics
        self.loader = SnapshotLoader(settings, build_learner, self.versions)

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()

    def new_store(self) -> RetainedStore:
        """An empty store of one partition's pending predictions."""
        return RetainedStore(self._build_store(), fenced=not self.claims)

    def logs(self) -> list[str]:
        """The topics that a partition's state is derived from, events first."""
        settings = self.settings
        if not self.late:
            return [settings.events.topic]
        return [settings.events.topic, str(settings.labels.topic),
                settings.topic("predictions"), settings.topic("examples")]  # fmt: skip

    def source(self, partition: int) -> PartitionSource:
        """Description of a partition's inputs and model, as its records name them."""
        settings = self.settings
        return PartitionSource(
            partition=partition,
            events=settings.events.topic,
            labels=settings.labels.topic if self.late else None,
            model_name=settings.model.name or settings.app,
            model_version=self.version,
            max_bytes=self.topics.max_bytes,
            features=settings.predictions.features,
        )


class KafkaRestoreContext(RestoreContext):
    """A restore context whose logs are on Kafka."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        admin: AdminClient,
        reader_config: dict[str, Any],
        epoch_log: EpochLog | None,
        topics: TopicFacts,
        metrics: Metrics,
        build_store: Callable[[], PendingStore] = MemoryPendingStore,
    ) -> None:
        """`reader_config`: for a consumer without a group. The rest as for `RestoreContext`."""
        self.admin = admin
        self.bounds = Watermarks(reader_config)
        logs = KafkaLogReader(self.bounds, reader_config)
        super().__init__(settings, build_learner, logs, epoch_log, topics, metrics, build_store)
