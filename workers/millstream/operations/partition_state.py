"""What is known of each shard from outside: offsets, snapshots, and by a replay its state."""

import time
from dataclasses import dataclass, field

from millstream.core.records.record import InputName
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.kafka.group_offsets import CommittedOffsets, GroupOffsets
from millstream.operations.read_only import read_models, restored_now
from millstream.state.restore_context import KafkaRestoreContext


@dataclass(slots=True)
class InputState:
    """One input of a shard."""

    committed: int | None
    """None: the group has committed nothing, or its offsets have expired."""
    end: int
    """The offset after the last message that lies there."""

    @property
    def lag(self) -> int | None:
        """How many offsets there are to come; those of transaction markers count as well."""
        return None if self.committed is None else max(0, self.end - self.committed)


@dataclass(slots=True)
class ReplayedState:
    """What the worker's own restore makes of the logs."""

    learned: int
    digest: str | None
    """None: the model does not learn."""
    waiting: int
    held: int
    moved: bool
    """A worker committed meanwhile, so this may be of a moment later than the offsets."""


@dataclass(slots=True)
class PartitionState:
    """One shard."""

    partition: int
    sides: dict[InputName, InputState]
    model_version: str
    snapshot: ManifestEntry | None
    """The newest of the model in the settings."""
    age: int | None
    """Of the snapshot, ms."""
    replayed: ReplayedState | None = field(default=None)


class StateReader:
    """Looks at shards without joining the group, and writes nothing."""

    def __init__(self, context: KafkaRestoreContext) -> None:
        self._restorer = context
        self._topics = context.settings.inputs
        self._offsets = GroupOffsets(context.settings, self._topics)

    def read(self, partition: int, *, replay: bool) -> PartitionState:
        """One shard. Raises `Stop` where Kafka does not answer or the logs are not whole."""
        committed, bounds = self._offsets.of(partition), self._restorer.bounds
        models = read_models(self._restorer, partition)
        version = models.notes.version(self._restorer.version)
        newest = next(
            (each for each in models.snapshots.pointers() if each.model_version == version), None
        )
        state = PartitionState(
            partition,
            {side: InputState(committed[0][side], bounds.patiently(topic, partition)[1])
             for side, topic in self._topics.items()},
            version,
            newest,
            None if newest is None else max(0, time.time_ns() // 1_000_000 - newest.created_at),
        )  # fmt: skip
        if replay:
            state.replayed = self._replay(partition, committed)
        return state

    def _replay(self, partition: int, committed: CommittedOffsets) -> ReplayedState:
        with restored_now(self._restorer, partition, committed) as processor:
            learner = processor.learner
            return ReplayedState(
                processor.learned,
                learner.digest() if learner.learns else None,
                processor.waiting(),
                processor.held(),
                self._offsets.of(partition) != committed,
            )

    def close(self) -> None:
        """Let go of the broker."""
        self._offsets.close()
