"""Search for the snapshot that a restore begins from: the newest that passes verification."""

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
from millstream.snapshots.files import SnapshotFiles

log = logging.getLogger(__name__)


class FoundSnapshot(NamedTuple):
    """A snapshot that passed verification, and the learner that was restored from it."""

    about: SnapshotMetadata
    learner: Learner
    probed: Features | None
    """The features of its canary prediction; the next snapshot may use them again."""


class SearchResult(NamedTuple):
    """The newest usable snapshot, if there is one."""

    snapshot: FoundSnapshot | None
    rejected: str
    """Why the last snapshot that was rejected was; empty if none was."""


class SnapshotLoader:
    """Reads and verifies snapshots under a worker's settings."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        versions: Mapping[str, str],
    ) -> None:
        """`versions`: library to its version here."""
        self.enabled = settings.snapshots.enabled
        self._settings = settings
        self._build_learner = build_learner
        self._versions = versions

    def read(self, pointer: ManifestEntry, chunks: SnapshotManifest) -> bytes:
        """The stored bytes of a snapshot. Raises BadSnapshot where there are none."""
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
        # A pointer is not signed, and it decides which snapshot is opened.
        if (about.positions, about.learned) != (pointer.positions, pointer.learned):
            raise BadSnapshot("it is not the one that its pointer tells of")
        return snapshot

    def load(self, snapshot: Snapshot, version: str) -> Learner:
        """The learner in a snapshot, verified against this version of the model.

        Raises BadSnapshot.
        """
        settings = self._settings.snapshots
        return load(
            snapshot, self._build_learner, version, self._versions,
            allow_version_change=settings.allow_version_change, trusted_modules=settings.trust,
        )  # fmt: skip


class SnapshotSearch:
    """Searches the snapshots of one partition in a thread, as verification takes long."""

    def __init__(
        self,
        loader: SnapshotLoader,
        chunks: SnapshotManifest,
        version: str,
        committed: Mapping[InputName, int | None],
        metrics: Metrics,
    ) -> None:
        """`committed`: the group's offsets; snapshots beyond them are not used.

        (Where a user has moved offsets back, the model of that time is restored.)
        """
        self._loader = loader
        self._chunks = chunks
        self._version = version
        self._committed = committed
        self._metrics = metrics
        self._rejected = ""
        pool = ThreadPoolExecutor(1, "restore-snapshot")
        self._job = pool.submit(self._run)
        pool.shutdown(wait=False)

    def done(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; returns whether the search has ended."""
        return bool(wait([self._job], timeout).done)

    def result(self) -> SearchResult:
        """The result of a search, which is waited for; raises what the search raised."""
        return SearchResult(self._job.result(), self._rejected)

    def _run(self) -> FoundSnapshot | None:
        if not self._loader.enabled:
            return None
        for name, why in self._chunks.unreadable.items():
            self._reject(name, why)
        for pointer in self._chunks.pointers():
            if self._usable(pointer) and (found := self._verify(pointer)) is not None:
                return found
        return None

    def _usable(self, pointer: ManifestEntry) -> bool:
        """Whether it is of this model, and of nothing that the group has not committed."""
        return pointer.model_version == self._version and all(
            pointer.positions.get(name, 0) <= offset
            for name, offset in self._committed.items()
            if offset is not None
        )

    def _verify(self, pointer: ManifestEntry) -> FoundSnapshot | None:
        try:
            snapshot = self._loader.open(pointer, self._chunks)
            learner = self._loader.load(snapshot, self._version)
            return FoundSnapshot(snapshot.about, learner, probed(snapshot))
        except BadSnapshot as bad:
            self._reject(pointer.name, str(bad))
            return None

    def _reject(self, name: str, why: str) -> None:
        self._rejected = why
        self._metrics.partitions.count_snapshot("rejected")
        log.warning(
            "snapshot passed over",
            extra={"partition": self._chunks.partition, "snapshot": name, "reason": why},
        )
