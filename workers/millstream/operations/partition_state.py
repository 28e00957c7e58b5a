"""The state of each partition: offsets, snapshots and, by a replay, its model."""

import time
from dataclasses import dataclass, field

from millstream.core.records.record import InputName
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.kafka.group_offsets import CommittedOffsets, GroupOffsets
from millstream.operations.read_only import read_models, restored_now
from millstream.state.restore_context import KafkaRestoreContext


@dataclass(slots=True)
class InputState:
    """One input of a partition."""

    committed: int | None
    """None: the group has committed nothing, or its offsets have expired."""
    end: int
    """The offset after the last message."""

    @property
    def lag(self) -> int | None:
        """Offsets not yet processed, transaction markers included; None if nothing is committed."""
        return None if self.committed is None else max(0, self.end - self.committed)


@dataclass(slots=True)
class ReplayedState:
    """The processor's state after the worker's own restore."""

    learned: int
    digest: str | None
    """None: the model does not learn."""
    waiting: int
    held: int
    moved: bool
    """A worker committed meanwhile, so this may be later than the offsets."""


@dataclass(slots=True)
class PartitionState:
    """One partition of an app."""

    partition: int
    sides: dict[InputName, InputState]
    model_version: str
    snapshot: ManifestEntry | None
    """The newest snapshot of the model in the settings."""
    age: int | None
    """The snapshot's age in ms."""
    replayed: ReplayedState | None = field(default=None)


class StateReader:
    """Reads partitions' states without joining the group; writes nothing."""

    def __init__(self, context: KafkaRestoreContext) -> None:
        self._restorer = context
        self._topics = context.settings.inputs
        self._offsets = GroupOffsets(context.settings, self._topics)

    def read(self, partition: int, *, replay: bool) -> PartitionState:
        """Read one partition. Raises `Stop` if Kafka does not answer or logs are incomplete."""
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
                learner.digest() if learner.traits.learns else None,
                processor.pending(),
                processor.early_labels(),
                self._offsets.of(partition) != committed,
            )

    def close(self) -> None:
        """Close the consumer."""
        self._offsets.close()
