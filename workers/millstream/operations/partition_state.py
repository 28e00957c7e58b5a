"""What is known of each shard from outside: offsets, snapshots, and by a replay its state."""

import time
from dataclasses import dataclass, field

from millstream.core.records.record import Side
from millstream.core.snapshots.manifest import Pointer
from millstream.kafka.group_offsets import Committed, GroupOffsets
from millstream.operations.read_only import input_topics, read_models, restored_now
from millstream.state.restore_context import Restorer


@dataclass(slots=True)
class SideState:
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
class Replayed:
    """What the worker's own restore makes of the logs."""

    learned: int
    digest: str | None
    """None: the model does not learn."""
    waiting: int
    held: int
    moved: bool
    """A worker committed meanwhile, so this may be of a moment later than the offsets."""


@dataclass(slots=True)
class ShardState:
    """One shard."""

    partition: int
    sides: dict[Side, SideState]
    model_version: str
    snapshot: Pointer | None
    """The newest of the model in the settings."""
    age: int | None
    """Of the snapshot, ms."""
    replayed: Replayed | None = field(default=None)


class StateReader:
    """Looks at shards without joining the group, and writes nothing."""

    def __init__(self, restorer: Restorer) -> None:
        self._restorer = restorer
        self._topics = input_topics(restorer)
        self._offsets = GroupOffsets(restorer.settings, self._topics)

    def read(self, partition: int, *, replay: bool) -> ShardState:
        """One shard. Raises `Stop` where Kafka does not answer or the logs are not whole."""
        committed, bounds = self._offsets.of(partition), self._restorer.bounds
        models = read_models(self._restorer, partition)
        version = models.notes.version(self._restorer.version)
        newest = next(
            (each for each in models.snapshots.pointers() if each.model_version == version), None
        )
        state = ShardState(
            partition,
            {side: SideState(committed[0][side], bounds.patiently(topic, partition)[1])
             for side, topic in self._topics.items()},
            version,
            newest,
            None if newest is None else max(0, time.time_ns() // 1_000_000 - newest.created_at),
        )  # fmt: skip
        if replay:
            state.replayed = self._replay(partition, committed)
        return state

    def _replay(self, partition: int, committed: Committed) -> Replayed:
        with restored_now(self._restorer, partition, committed) as shard:
            learner = shard.learner
            return Replayed(
                shard.learned,
                learner.digest() if learner.learns else None,
                shard.waiting(),
                shard.held(),
                self._offsets.of(partition) != committed,
            )

    def close(self) -> None:
        """Let go of the broker."""
        self._offsets.close()
