"""Finds the snapshot that a restore begins from: the newest that proves to be what it says."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Features, Learner
from millstream.core.records.record import InputName
from millstream.core.snapshots.manifest import ManifestEntry, SnapshotManifest
from millstream.core.snapshots.snapshot import (
    BadSnapshot,
    Snapshot,
    SnapshotMetadata,
    load,
    probed,
    unseal,
)
from millstream.errors import SettingsError
from millstream.observability.metrics import Metrics
from millstream.state.snapshot_files import SnapshotFiles

log = logging.getLogger(__name__)


class FoundSnapshot(NamedTuple):
    """A snapshot, and the learner that was made of it."""

    about: SnapshotMetadata
    learner: Learner
    probed: Features | None
    """The features that it was probed with: good enough for the next one's."""


class SnapshotLoader:
    """Reads and proves snapshots under a worker's settings."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        versions: Mapping[str, str],
    ) -> None:
        """`versions`: of the libraries."""
        self.enabled = settings.snapshots.enabled
        self._settings = settings
        self._build_learner = build_learner
        self._versions = versions

    def read(self, pointer: ManifestEntry, chunks: SnapshotManifest) -> bytes:
        """A snapshot as it is stored. Raises BadSnapshot where it is not there."""
        if pointer.store == "topic":
            return chunks.blob(pointer.name)
        try:
            files = SnapshotFiles(pointer.store, self._settings.app)
        except SettingsError as error:
            raise BadSnapshot(f"its store cannot be opened ({error})") from error
        return files.read(pointer.partition, pointer.name)

    def open(self, pointer: ManifestEntry, chunks: SnapshotManifest) -> Snapshot:
        """Read a snapshot. Raises BadSnapshot where it is not there, damaged, or not signed."""
        snapshot = unseal(self.read(pointer, chunks), self._settings.snapshots.key_bytes)
        about = snapshot.about
        if (about.app, about.partition) != (self._settings.app, pointer.partition):
            raise BadSnapshot(f"it is of app {about.app}, partition {about.partition}")
        # A pointer is not signed, and it decides what is opened at all.
        if (about.positions, about.learned) != (pointer.positions, pointer.learned):
            raise BadSnapshot("it is not the one that its pointer tells of")
        return snapshot

    def load(self, snapshot: Snapshot, version: str) -> Learner:
        """The learner that a snapshot of this version of the model holds, proved.

        Raises BadSnapshot.
        """
        settings = self._settings.snapshots
        return load(
            snapshot, self._build_learner, version, self._versions,
            allow_version_change=settings.allow_version_change, trusted_modules=settings.trust,
        )  # fmt: skip


class SnapshotSearch:
    """Looks through the snapshots of one partition in a thread, as proving one takes its time."""

    def __init__(
        self,
        opener: SnapshotLoader,
        chunks: SnapshotManifest,
        version: str,
        committed: Mapping[InputName, int | None],
        metrics: Metrics,
    ) -> None:
        """`committed`: the group's offsets; what stands for more than those is passed over.

        (Offsets that a user has moved back mean: from there again, with the model of then.)
        """
        self._opener = opener
        self._chunks = chunks
        self._version = version
        self._committed = committed
        self._metrics = metrics
        self.rejected = ""
        """Why the last one that was not taken was not."""
        self.found: FoundSnapshot | None = None
        pool = ThreadPoolExecutor(1, "restore-snapshot")
        self._job = pool.submit(self._run)
        pool.shutdown(wait=False)

    def done(self, timeout: float) -> bool:
        """Whether the search has ended; waits for at most `timeout` seconds."""
        if not wait([self._job], timeout).done:
            return False
        self._job.result()
        return True

    def _run(self) -> None:
        if not self._opener.enabled:
            return
        for name, why in self._chunks.unreadable.items():
            self._pass_over(name, why)
        for pointer in self._chunks.pointers():
            if self._usable(pointer):
                self._try(pointer)
            if self.found is not None:
                return

    def _usable(self, pointer: ManifestEntry) -> bool:
        """Of this model, and of nothing that the group has not committed."""
        committed = {side: offset for side, offset in self._committed.items() if offset is not None}
        return pointer.model_version == self._version and all(
            pointer.positions.get(side, 0) <= offset for side, offset in committed.items()
        )

    def _try(self, pointer: ManifestEntry) -> None:
        try:
            snapshot = self._opener.open(pointer, self._chunks)
            self.found = FoundSnapshot(
                snapshot.about, self._opener.load(snapshot, self._version), probed(snapshot)
            )
        except BadSnapshot as bad:
            self._pass_over(pointer.name, str(bad))

    def _pass_over(self, name: str, why: str) -> None:
        self.rejected = why
        self._metrics.partitions.count_snapshot("rejected")
        log.warning(
            "snapshot passed over",
            extra={"partition": self._chunks.partition, "snapshot": name, "reason": why},
        )
