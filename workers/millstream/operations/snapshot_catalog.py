"""The catalog of an app's stored snapshots: listing, verification and deletion."""

from typing import NamedTuple

from millstream.core.models.interface.learner import Learner
from millstream.core.snapshots.manifest import ManifestEntry, deletions
from millstream.core.snapshots.snapshot import BadSnapshot, unseal
from millstream.errors import Stop
from millstream.kafka.client_config import producer_config
from millstream.kafka.producer import ConfirmedWriter, NotWritten
from millstream.operations.read_only import PartitionModels, read_models
from millstream.snapshots.files import SnapshotFiles
from millstream.snapshots.writer import TOPIC
from millstream.state.restore_context import KafkaRestoreContext


class CatalogEntry(NamedTuple):
    """A stored snapshot."""

    pointer: ManifestEntry
    current: bool
    """Whether it is of the model that the settings define, in its partition's generation."""


class SnapshotCatalog:
    """Lists every snapshot that the models topic points to."""

    def __init__(self, context: KafkaRestoreContext) -> None:
        self._restorer = context
        self._settings = context.settings
        # Of one partition at a time: the models topic may hold all of the snapshots' bytes.
        self._open: tuple[int, PartitionModels] | None = None
        self._stored: list[CatalogEntry] | None = None

    def _models(self, partition: int) -> PartitionModels:
        if self._open is None or self._open[0] != partition:
            self._open = partition, read_models(self._restorer, partition)
        return self._open[1]

    def _version(self, partition: int) -> str:
        """Version of the model in the settings, with its lineage in this partition."""
        return self._models(partition).notes.version(self._restorer.version)

    def stored(self) -> list[CatalogEntry]:
        """List the snapshots by partition, the newest first."""
        if self._stored is None:
            self._stored = [
                CatalogEntry(pointer, pointer.model_version == self._version(partition))
                for partition in range(self._restorer.topics.partitions)
                for pointer in self._models(partition).snapshots.pointers()
            ]
        return self._stored

    def named(self, name: str) -> CatalogEntry:
        """Return the snapshot with a name. Raises `Stop` if there is none."""
        for stored in self.stored():
            if stored.pointer.name == name:
                return stored
        raise Stop(
            f"there is no snapshot {name} of app {self._settings.app}: millstream snapshots list "
            "shows their names"
        )

    def still_there(self, stored: CatalogEntry) -> bool:
        """Return True if the models topic still points to it; a worker may have deleted it."""
        self._open = None
        pointers = self._models(stored.pointer.partition).snapshots.pointers()
        return any(pointer.name == stored.pointer.name for pointer in pointers)

    def check(self, stored: CatalogEntry) -> None:
        """Verify a snapshot as a restore does. Raises BadSnapshot.

        Of another model's snapshot only the envelope can be verified: that its bytes are those
        written and, with a key, signed.
        """
        pointer = stored.pointer
        snapshot = self._restorer.loader.open(pointer, self._models(pointer.partition).snapshots)
        if snapshot.proof.digest != pointer.digest or snapshot.about.learned != pointer.learned:
            raise BadSnapshot("it is not the one that the models topic points to")
        if stored.current:
            self._restorer.loader.load(snapshot, pointer.model_version)

    def learner(self, stored: CatalogEntry) -> Learner:
        """Load and verify the learner in a snapshot of today's model. Raises BadSnapshot."""
        pointer = stored.pointer
        opener = self._restorer.loader
        snapshot = opener.open(pointer, self._models(pointer.partition).snapshots)
        return opener.load(snapshot, self._version(pointer.partition))

    def blob(self, stored: CatalogEntry) -> bytes:
        """Return a snapshot's signed bytes. Raises BadSnapshot if they are damaged."""
        pointer = stored.pointer
        blob = self._restorer.loader.read(pointer, self._models(pointer.partition).snapshots)
        unseal(blob)
        return blob

    def delete(self, chosen: list[CatalogEntry]) -> None:
        """Delete snapshots, the pointer of each first. Raises `Stop` if that fails."""
        topic = ConfirmedWriter(
            producer_config(self._settings, None), self._settings.topic("models")
        )
        try:
            for each in chosen:
                self._delete(each.pointer, topic)
        finally:
            topic.close()

    def _delete(self, pointer: ManifestEntry, topic: ConfirmedWriter) -> None:
        try:
            topic.write(
                pointer.partition,
                deletions(pointer.partition, pointer.name, range(pointer.chunks)),
            )
            if pointer.store != TOPIC:
                files = SnapshotFiles(pointer.store, self._settings.app)
                files.delete(pointer.partition, pointer.name)
        except (NotWritten, OSError) as error:
            raise Stop(
                f"snapshot {pointer.name} could not be deleted ({error}); those before it in the "
                "list are gone"
            ) from error
