"""Seals and stores one snapshot; runs in a thread beside the loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex

from millstream.core.models.codecs import Captured
from millstream.core.models.learner import Features, Learner
from millstream.core.snapshot import About, finish, unseal
from millstream.core.snapshot_log import Pointer, SnapshotLog, chunk_records, deletions
from millstream.runners import failpoints
from millstream.runners.snapshot_topic import ModelsTopic
from millstream.settings import SnapshotSettings
from millstream.stores.snapshot_files import SnapshotFiles

TOPIC = "topic"


@dataclass(slots=True)
class Kept:
    """The snapshots of one partition that are stored, oldest first."""

    pointers: list[Pointer] = field(default_factory=list)
    orphans: dict[str, list[int]] = field(default_factory=dict)
    """Chunks that a crash left without a pointer."""

    @classmethod
    def of(cls, log: SnapshotLog) -> "Kept":
        """What a restore has read."""
        return cls(log.pointers()[::-1], log.orphans())


class SnapshotWriter:
    """Where the settings say that snapshots go."""

    def __init__(
        self,
        settings: SnapshotSettings,
        topic: ModelsTopic,
        files: SnapshotFiles | None,
        build_learner: Callable[[], Learner],
    ) -> None:
        """`files`: None where the models topic itself holds them."""
        self._settings = settings
        self._topic = topic
        self._files = files
        self._build_learner = build_learner

    def write(
        self, captured: Captured, about: About, probe: Features | None, kept: Kept
    ) -> tuple[Pointer, float]:
        """Store a snapshot, then its pointer, then let go of the oldest.

        Returns the pointer and the seconds it took. Raises BadSnapshot, NotWritten, OSError.
        """
        began = time.monotonic()
        key = self._settings.key
        blob = finish(
            captured, about, self._build_learner(), probe,
            None if key is None else key.get_secret_value().encode(), self._settings.trust,
        )  # fmt: skip
        name = f"{about.created_at}-{token_hex(4)}"
        chunks = self._store(about.partition, name, blob)
        failpoints.reach("before_pointer")
        pointer = Pointer(
            partition=about.partition,
            name=name,
            store=TOPIC if self._files is None else self._files.url,
            bytes=len(blob),
            chunks=chunks,
            positions=about.positions,
            learned=about.learned,
            digest=unseal(blob).proof.digest,
            model_version=about.model_version,
            created_at=about.created_at,
        )
        self._topic.write(about.partition, [pointer.record()])
        kept.pointers.append(pointer)
        self._prune(about.partition, kept)
        return pointer, time.monotonic() - began

    def _store(self, partition: int, name: str, blob: bytes) -> int:
        """Write the bytes; returns how many chunks there are in the topic."""
        if self._files is not None:
            failpoints.reach("mid_snapshot")
            self._files.write(partition, name, blob)
            return 0
        records = chunk_records(partition, name, blob)
        self._topic.write(partition, records[: len(records) // 2])
        failpoints.reach("mid_snapshot")
        self._topic.write(partition, records[len(records) // 2 :])
        return len(records)

    def _prune(self, partition: int, kept: Kept) -> None:
        for name, chunks in kept.orphans.items():
            orphan = kept.pointers[-1].model_copy(update={"name": name, "chunks": max(chunks) + 1})
            self._topic.write(partition, deletions(orphan))
        kept.orphans.clear()
        while len(kept.pointers) > self._settings.keep:
            self.delete(kept.pointers[0])
            del kept.pointers[0]

    def delete(self, pointer: Pointer) -> None:
        """Remove a snapshot, its pointer first. Raises NotWritten, OSError."""
        self._topic.write(pointer.partition, deletions(pointer))
        if self._files is not None and pointer.store == self._files.url:
            self._files.delete(pointer.partition, pointer.name)

    def close(self) -> None:
        """Let go of the broker."""
        self._topic.close()
