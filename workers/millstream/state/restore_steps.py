"""Steps and values that both restore recipes share.

A recipe is a generator. Each step takes the values of the steps before it, and yields the `Work`
that it waits for; the value of the generator is the `RestoreResult`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from millstream.artifacts.user_code import load_codec
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.processing.progress import InputPositions
from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.crash_markers import CrashMarker
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import InputName, Output, Record
from millstream.core.snapshots.manifest import SnapshotManifest, is_snapshot
from millstream.errors import DeadLetter, Stop
from millstream.kafka.log_reader import OffsetRange
from millstream.snapshots.search import FoundSnapshot, SnapshotSearch
from millstream.snapshots.writer import StoredSnapshots
from millstream.state.log_gaps import LogGaps
from millstream.state.ports import LogReading, Steps, Work
from millstream.state.restore_context import RestoreContext
from millstream.state.retained_store import RetainedStore
from millstream.state.topic_identity import topics_changed

Positions = dict[InputName, int]
CommittedOffsets = Mapping[InputName, int | None]
Skips = dict[tuple[str, int], tuple[DeadLetter, Output | None]]
"""Records to leave out though their bytes are good, as in
`core.processing.partition_processor.ProcessorConfig.skips`, each with the control record of it that
is still to be written."""


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """The partition to restore, and what the group has committed of it."""

    context: RestoreContext
    partition: int
    committed: CommittedOffsets
    """The group's offsets, None where there are none."""
    committed_owner: int | None
    """The owner that the offsets name; None where they name none."""
    new_skips: Skips
    store: RetainedStore

    def inputs(self) -> list[InputName]:
        """The inputs that the partition's processor has."""
        return ["events", "labels"] if self.context.late else ["events"]

    def offset_missing(self) -> bool:
        """Whether the group has no offset for some input."""
        return any(self.committed.get(name) is None for name in self.inputs())


class Metadata(NamedTuple):
    """The records of one partition of the models topic."""

    control: PartitionMetadata
    manifest: SnapshotManifest


class StartPoint(NamedTuple):
    """What a replay starts from."""

    source: PartitionSource
    """With the version of the model that is restored."""
    snapshot: FoundSnapshot | None = None
    rejected: str = ""
    """Why the last snapshot that was rejected was; empty if none was."""
    topic_notes: Sequence[Output] = ()
    """Control records about the topics that are still to be written."""


class LogSpan(NamedTuple):
    """The part of a log that a restore reads."""

    topic: str
    start: int
    end: int
    gone: int
    """Number of offsets between the wanted start and `start` that the log has lost."""


@dataclass(frozen=True, slots=True)
class RestoreOrigin:
    """The snapshot and the control records that a restore began from."""

    learned: int
    """Examples in the snapshot; 0 without one. Likewise `positions`."""
    positions: Mapping[str, int]
    stored: StoredSnapshots
    ownership: dict[str, int]
    """At least once: see `OwnershipHistory.chain`."""
    version: str = ""
    """Of the model, with its generation."""
    crash_marker: CrashMarker | None = None
    """Of a process that died over this partition: see `runners.confluent.poison_records`."""


NOTHING_RESTORED: Final = RestoreOrigin(0, {}, StoredSnapshots(), {})


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A restored partition."""

    processor: PartitionProcessor
    positions: Positions
    """Per input, the offset to fetch from."""
    origin: RestoreOrigin
    snapshot_learned: int | None = None
    """Examples in the snapshot that was used; None without one."""
    store_retained: bool = False
    """Whether pending predictions of before the restore were used again."""


class RestoreSteps:
    """The steps of a restore that do not depend on where its labels come from."""

    def __init__(self, request: RestoreRequest) -> None:
        self.request = request
        self.context = request.context
        self.settings = request.context.settings
        self.gaps = LogGaps(self.settings, request.partition)

    # -- logs -------------------------------------------------------------------------------------

    def span(self, topic: str, start: int = 0, *, needed_by: str = "") -> LogSpan:
        """The part of a log from `start` to its end.

        `needed_by`: what needs the log from `start` on; empty: a log from 0 may lack its beginning.
        Raises `Stop` where the log has lost records that are needed.
        """
        low, end = self.context.reader.bounds(topic, self.request.partition)
        if low > start and (start or needed_by):
            self.gaps.check_start(topic, start, low, needed_by or "the state of the last snapshot")
        if start > end:
            raise Stop(
                f"{topic} partition {self.request.partition} ends at offset {end}, but it had come "
                f"to {start} when the last snapshot was taken: the brokers have lost what lay "
                "between; delete the snapshots (millstream snapshots delete) to begin from what is "
                "there, or give the app a new name to start afresh"
            )
        return LogSpan(topic, max(low, start), end, max(0, low - start))

    def read(self, span: LogSpan, sink: Callable[[Sequence[Record]], None]) -> Work:
        """Begin to read a part of a log; the records of each chunk go to `sink`."""
        topic, start, end, _ = span
        self.context.reader.open(OffsetRange(topic, self.request.partition, start, end, sink))
        return LogReading(self.context.reader)

    def read_each(
        self, topic: Literal["predictions", "models", "dead_letters"],
        sink: Callable[[Record], None],
    ) -> Work:  # fmt: skip
        """Begin to read all of an output topic; each record goes to `sink`."""

        def take(records: Sequence[Record]) -> None:
            for record in records:
                sink(record)

        return self.read(self.span(self.settings.topic(topic)), take)

    # -- steps ------------------------------------------------------------------------------------

    def read_metadata(self) -> Steps[Metadata]:
        """Read the partition's control records and its snapshots' manifest."""
        metadata = Metadata(PartitionMetadata(), SnapshotManifest(self.request.partition))

        def take(record: Record) -> None:
            (metadata.manifest if is_snapshot(record) else metadata.control).add(record)

        yield self.read_each("models", take)
        return metadata

    def find_start(self, metadata: Metadata) -> Steps[StartPoint]:
        """Check that the logs are still the model's own, and find the newest usable snapshot.

        Raises `Stop` where the model or a topic is another one.
        """
        context, request, control = self.context, self.request, metadata.control
        source = context.source(request.partition)
        if not context.learns:
            return StartPoint(source)
        if control.first_offset() is not None:
            self.settings_versions(control, 0)  # before anything is read for another model
        notes = topics_changed(
            control.topics, request.partition, context.topics.partitions, context.topics.topic_ids,
            context.logs(), self.settings.app,
        )  # fmt: skip
        version = control.version(context.version)
        search = SnapshotSearch(
            context.loader, metadata.manifest, version, request.committed, context.metrics
        )
        yield search
        snapshot, rejected = search.result()
        yield None
        return StartPoint(replace(source, model_version=version), snapshot, rejected, notes)

    def finish(
        self, metadata: Metadata, start: StartPoint, processor: PartitionProcessor,
        positions: Positions, notes: Sequence[Output], ownership: dict[str, int],
        *, store_retained: bool = False,
    ) -> RestoreResult:  # fmt: skip
        """Hand the control records that are due to the processor, and describe the restore.

        `notes`: of the settings; `ownership`: the owners that count.
        """
        snapshot = start.snapshot
        processor.source = start.source
        if snapshot is not None and processor.latest is None:
            processor.latest = snapshot.probed
        skipped = [note for _, note in self.request.new_skips.values() if note]
        processor.announce([*notes, *start.topic_notes, *skipped])
        origin = RestoreOrigin(
            snapshot.about.learned if snapshot else 0,
            snapshot.about.positions if snapshot else {},
            StoredSnapshots.of(metadata.manifest),
            ownership,
            start.source.model_version,
            metadata.control.attempt,
        )
        learned = snapshot.about.learned if snapshot else None
        return RestoreResult(processor, positions, origin, learned, store_retained)

    # -- decisions --------------------------------------------------------------------------------

    def current_settings(self, start: int) -> SettingsVersion:
        """Today's settings, from offset `start` of events on."""
        return SettingsVersion(start, self.settings.events, self.settings.labels)

    def settings_versions(
        self, control: PartitionMetadata, position: int
    ) -> tuple[tuple[SettingsVersion, ...], list[Output]]:
        """The settings by offset of events, and the control record to write if today's are new.

        Raises `Stop` where the model is another one.
        """
        settings, context = self.settings, self.context
        if not context.learns and control.first_offset() is None:
            return (self.current_settings(position),), []
        return control.settings_versions(
            settings.events, settings.labels, settings.model, partition=self.request.partition,
            position=position, version=context.version, app=settings.app,
        )  # fmt: skip

    def processor_config(
        self, control: PartitionMetadata, start: StartPoint, versions: tuple[SettingsVersion, ...]
    ) -> ProcessorConfig:
        """Configuration of the processor to restore, with the snapshot's model if there is one."""
        new_skips = {where: bad for where, (bad, _) in self.request.new_skips.items()}
        build, snapshot = self.context.build_learner, start.snapshot
        if snapshot is not None:
            build = lambda: snapshot.learner  # noqa: E731 - a function of one expression
        return ProcessorConfig(
            start.source, self.settings.model, build, versions,
            {**control.skips, **new_skips}, load_codec,
        )  # fmt: skip

    def position(self, name: InputName, topic: str, seen: InputPositions) -> int:
        """Offset to continue from: committed, else seen in the outputs, else by `events.start`.

        Raises `Stop` where the log does not reach there.
        """
        low, high = self.context.reader.bounds(topic, self.request.partition)
        position = self.request.committed.get(name)
        if position is None:
            position = seen.next[name] or (
                low if self.settings.events.start == "earliest" else high
            )
        return self.gaps.position(topic, position, low, high)
