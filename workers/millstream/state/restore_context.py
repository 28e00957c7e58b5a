"""What all restores of a worker share."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka.admin import AdminClient

from millstream._versions import library_versions
from millstream.config.settings import Settings
from millstream.core.join.pending_store import MemoryStore, WaitingStore
from millstream.core.models.factory import definition_digest
from millstream.core.models.interface.learner import Learner
from millstream.core.records.crash_markers import Attempt
from millstream.core.records.outputs import Source
from millstream.kafka.log_reader import Stretch
from millstream.kafka.watermarks import KafkaLogs, LogBounds
from millstream.observability.metrics import Metrics
from millstream.state.retained_store import KeptStore
from millstream.state.snapshot_search import Opener
from millstream.state.snapshot_writer import Kept


class OwnerLog(Protocol):
    """How a new owner announces itself where no transaction fences the old one."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there."""


class Logs(Protocol):
    """Where a restore reads: the logs of all partitions, one stretch at a time."""

    records_read: int
    """So many in all."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and the offset after the last record that was ever written."""

    def open(self, stretch: Stretch) -> None:
        """Begin with a stretch."""

    def done(self) -> bool:
        """Whether it is read to its end."""

    def step(self, timeout: float) -> None:
        """Read a piece of it, waiting for at most `timeout` seconds; raises `Stop`."""

    def close(self) -> None:
        """Let go of the stretch."""


class Told(NamedTuple):
    """What the brokers say of the topics."""

    partitions: int
    """Of events."""
    topic_ids: dict[str, str]
    """Topic to id; empty where they do not say."""
    max_bytes: int
    """The largest message that every output topic takes."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore began from."""

    learned: int
    """Examples in the snapshot; 0 without one. Likewise `positions`."""
    positions: Mapping[str, int]
    kept: Kept
    claims: dict[str, int]
    """At least once: see `Claims.chain`."""
    version: str = ""
    """Of the model, with its lineage."""
    attempt: Attempt | None = None
    """What the process before died over: see `runners.quarantine`."""


NOTHING_RESTORED: Final = Restored(0, {}, Kept(), {})


def wall_clock() -> int:
    """The time of day, ms since 1970."""
    return time.time_ns() // 1_000_000


class RestoreParts:
    """What all restores of a worker share, wherever its logs are."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        logs: Logs,
        owner_log: OwnerLog | None,
        told: Told,
        metrics: Metrics,
        build_store: Callable[[], WaitingStore] = MemoryStore,
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
        self.late = settings.labels.source == "topic" and settings.model.learn
        probe = build_learner()
        self.folds_events = probe.learns and not self.late
        self.learns = probe.learns
        self.batched = probe.batched
        self.version = definition_digest(settings.model, settings.labels, probe.made)
        self.versions = library_versions()
        self.metrics = metrics
        self.opener = Opener(settings, build_learner, self.versions)

    def close(self) -> None:
        """Let go of the broker."""
        self.reader.close()

    def new_store(self) -> KeptStore:
        """Where the predictions of one partition wait."""
        return KeptStore(self._build_store(), fenced=not self.claims)

    def logs(self) -> list[str]:
        """The topics that a shard's state belongs to."""
        settings = self.settings
        if not self.late:
            return [settings.events.topic]
        return [settings.events.topic, str(settings.labels.topic),
                settings.topic("predictions"), settings.topic("examples")]  # fmt: skip

    def source(self, partition: int) -> Source:
        """Where a partition's records come from."""
        settings = self.settings
        return Source(
            partition=partition,
            events=settings.events.topic,
            labels=settings.labels.topic if self.late else None,
            model_name=settings.model.name or settings.app,
            model_version=self.version,
            max_bytes=self.told.max_bytes,
            features=settings.predictions.features,
        )


class Restorer(RestoreParts):
    """The same, for logs on Kafka."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        admin: AdminClient,
        reader_config: dict[str, Any],
        owner_log: OwnerLog | None,
        told: Told,
        metrics: Metrics,
        build_store: Callable[[], WaitingStore] = MemoryStore,
    ) -> None:
        """`reader_config`: of a consumer outside of the group; see `RestoreParts` for the rest."""
        self.admin = admin
        self.bounds = LogBounds(reader_config)
        logs = KafkaLogs(self.bounds, reader_config)
        super().__init__(settings, build_learner, logs, owner_log, told, metrics, build_store)
