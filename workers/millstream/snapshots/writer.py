"""Encoding and storing of one snapshot, in a thread beside the loop."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Final, Protocol

from millstream import _failpoints as failpoints
from millstream.config.sections import SnapshotSettings
from millstream.core.models.interface.learner import Features, Learner
from millstream.core.models.state_codec import Captured
from millstream.core.records.record import Output
from millstream.core.snapshots.manifest import (
    ManifestEntry,
    SnapshotManifest,
    chunk_records,
    deletions,
    taken_at,
)
from millstream.core.snapshots.snapshot import SnapshotMetadata, finish, unseal
from millstream.kafka.producer import NotWritten
from millstream.snapshots.files import SnapshotFiles

TOPIC = "topic"
ORPHAN_MS: Final = 60_000
"""Age at which a snapshot without a pointer is taken to be left by a crash."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StoredSnapshots:
    """The snapshots of one partition that are stored, oldest first."""

    pointers: list[ManifestEntry] = field(default_factory=list)
    orphans: dict[str, list[int]] = field(default_factory=dict)
    """Snapshots without a pointer, left by a crash: name to the numbers of its chunks."""

    @classmethod
    def of(cls, log: SnapshotManifest) -> "StoredSnapshots":
        """The snapshots that a restore has read of."""
        return cls(log.pointers()[::-1], log.orphans())


class ModelsTopicWriter(Protocol):
    """A writer of the models topic, as `kafka.confirmed_writer.ConfirmedWriter` is one."""

    def write(self, partition: int, outputs: Iterable[Output]) -> None:
        """Write records and wait until they are stored. Raises NotWritten."""

    def close(self) -> None:
        """Close the writer."""


class SnapshotWriter:
    """Writes snapshots to the store of the settings."""

    def __init__(
        self,
        settings: SnapshotSettings,
        topic: ModelsTopicWriter,
        files: SnapshotFiles | None,
        build_learner: Callable[[], Learner],
    ) -> None:
        """`files`: None if the models topic itself holds the snapshots."""
        self._settings = settings
        self._topic = topic
        self._files = files
        self._build_learner = build_learner

    def write(
        self,
        captured: Captured,
        about: SnapshotMetadata,
        canary: Features | None,
        stored: StoredSnapshots,
    ) -> tuple[ManifestEntry, float]:
        """Store a snapshot, then its pointer, then delete the oldest.

        Returns the pointer and the seconds it took. Raises BadSnapshot, NotWritten, OSError.
        """
        began = time.monotonic()
        blob = finish(
            captured, about, self._build_learner(), canary,
            self._settings.key_bytes, self._settings.trust,
        )  # fmt: skip
        name = f"{about.created_at}-{token_hex(4)}"
        chunks = self._store(about.partition, name, blob)
        failpoints.reach("before_pointer")
        pointer = ManifestEntry(
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
        stored.pointers.append(pointer)
        try:
            self._prune(about.partition, stored)
        except (NotWritten, OSError) as error:
            # This one is stored all the same; the deletion is tried again with the next.
            log.warning(
                "old snapshots could not be deleted",
                extra={"partition": about.partition, "reason": str(error)},
            )
        return pointer, time.monotonic() - began

    def _store(self, partition: int, name: str, blob: bytes) -> int:
        """Write the bytes; returns how many chunks there are in the topic."""
        if self._files is not None:
            # An empty chunk, so that a file which a crash leaves in the store is known.
            self._topic.write(partition, chunk_records(partition, name, b""))
            failpoints.reach("mid_snapshot")
            self._files.write(partition, name, blob)
            return 1
        records = chunk_records(partition, name, blob)
        self._topic.write(partition, records[: len(records) // 2])
        failpoints.reach("mid_snapshot")
        self._topic.write(partition, records[len(records) // 2 :])
        return len(records)

    def _prune(self, partition: int, stored: StoredSnapshots) -> None:
        newest = stored.pointers[-1]
        for name, chunks in list(stored.orphans.items()):
            # The worker that had the partition before may still be writing a younger one.
            if newest.created_at - taken_at(name) > ORPHAN_MS:
                self._topic.write(partition, deletions(partition, name, chunks))
                if self._files is not None:
                    self._files.delete(partition, name)
                del stored.orphans[name]
        while len(stored.pointers) > self._settings.keep:
            self.delete(stored.pointers[0])
            del stored.pointers[0]

    def delete(self, pointer: ManifestEntry) -> None:
        """Remove a snapshot, its pointer first. Raises NotWritten, OSError."""
        gone = deletions(pointer.partition, pointer.name, range(pointer.chunks))
        self._topic.write(pointer.partition, gone)
        if self._files is not None and pointer.store == self._files.url:
            self._files.delete(pointer.partition, pointer.name)

    def close(self) -> None:
        """Close the writer."""
        self._topic.close()
