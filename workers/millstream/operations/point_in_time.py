"""Point-in-time replay: a partition's model as it was at any earlier record.

The worker's restore builds the state of *now*. This uses the same notes, snapshots and replays,
and can stop between any two records; it writes nothing.
"""

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

from millstream.artifacts.user_code import load_codec
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.ownership import OwnershipHistory
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.processing.replay import StateReplay
from millstream.core.records.record import BatchResult
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.core.snapshots.snapshot import BadSnapshot, SnapshotMetadata
from millstream.errors import MillstreamError, StateInvalid
from millstream.kafka.log_reader import read_offset_range
from millstream.operations.read_only import read_models
from millstream.state.restore_context import KafkaRestoreContext


class LogTruncated(MillstreamError):
    """The logs no longer hold what a replay needs; the message is one sentence."""


class ReplayStart(NamedTuple):
    """A snapshot to begin from, and the learner loaded from it, for one use."""

    name: str
    about: SnapshotMetadata
    learner: Learner


class PointInTimeReplay:
    """Replays one partition of an app."""

    def __init__(
        self, context: KafkaRestoreContext, partition: int, committed_by: int | None
    ) -> None:
        """`committed_by`: at least once, the owner of the group's offsets (`OwnershipHistory`)."""
        self._restorer = context
        self._settings = context.settings
        self._partition = partition
        self._committed_by = committed_by
        self._models = read_models(context, partition)
        self.version = self._models.notes.version(context.version)
        """Of the model that can be replayed here, with its lineage."""
        # The limit of then may differ from that of now; the notes name what was too large.
        self._source = replace(
            context.source(partition), model_version=self.version, max_bytes=sys.maxsize
        )
        self.passed_over: dict[str, str] = {}
        """Name of each snapshot that failed its verification to the reason."""

    def newest(self, fits: Callable[[ManifestEntry], bool]) -> ManifestEntry | None:
        """Return the newest snapshot of today's model that fits and was not passed over."""
        for pointer in self._models.snapshots.pointers():
            mine = pointer.model_version == self.version and pointer.name not in self.passed_over
            if mine and fits(pointer):
                return pointer
        return None

    def open(self, pointer: ManifestEntry) -> ReplayStart | None:
        """Verify a snapshot and load its learner; None if it is bad (see `passed_over`)."""
        opener = self._restorer.loader
        try:
            snapshot = opener.open(pointer, self._models.snapshots)
            return ReplayStart(pointer.name, snapshot.about, opener.load(snapshot, self.version))
        except BadSnapshot as bad:
            self.passed_over[pointer.name] = str(bad)
            return None

    def events(self, begin: ReplayStart | None, end: int) -> Generator[BatchResult]:
        """Process events with inline labels again, from `begin` to below offset `end`.

        Each result is that of the worker, except for what depends on the clock. Raises
        `LogTruncated`, and `Stop` where the model is another one.
        """
        settings_versions = self._eras(end)
        start = settings_versions[0].start if begin is None else begin.about.positions["events"]
        self._require(self._settings.events.topic, start)
        processor = InlineLabelProcessor(self._plan(begin, settings_versions))
        if begin is not None:
            processor.learned = begin.about.learned
        rebuilt = self._models.notes.rebuilt
        topic = self._settings.events.topic
        for records in read_offset_range(self._settings, topic, self._partition, start, end):
            there = records if rebuilt is None else rebuilt.left_in(records)
            try:
                yield processor.process({"events": there}, {}, 0)
            except StateInvalid as broken:
                raise LogTruncated(
                    f"the model breaks on what it learned from ({broken}): has its library changed?"
                ) from broken

    def examples(
        self, begin: ReplayStart | None, owners: set[int] | None
    ) -> Generator[DelayedLabelProcessor]:
        """Yield the processor with delayed labels, at `begin` and after each training example.

        It is one object that changes between two steps; only its model is of then. `owners`: as
        `owners` returns them. Raises `LogTruncated`, and `Stop` where the examples are not those
        that the model learned from.
        """
        topic = self._settings.topic("examples")
        start = 0 if begin is None else begin.about.logs["examples"]
        self._require(topic, start)
        _, end = self._restorer.bounds.patiently(topic, self._partition)
        today = SettingsVersion(0, self._settings.events, self._settings.labels)
        processor = DelayedLabelProcessor(self._plan(begin, (today,)))
        about = None if begin is None else begin.about
        fold = StateReplay(processor, {}, owners, about, self._models.notes.rebuilt)
        yield processor
        for records in read_offset_range(self._settings, topic, self._partition, start, end):
            for record in records:
                fold.example(record)
                yield processor

    def owners(self, begin: ReplayStart | None) -> set[int] | None:
        """Return the owners whose records count; None: all, as transactions fenced the others."""
        if self._settings.processing_guarantee == "exactly_once" or not self._restorer.late:
            return None
        topic = self._settings.topic("examples")
        start, end = self._restorer.bounds.patiently(topic, self._partition)
        claims = OwnershipHistory()
        if begin is not None:
            claims = OwnershipHistory(begin.about.claims)
            start = max(start, begin.about.logs["examples"])
        for records in read_offset_range(self._settings, topic, self._partition, start, end):
            for record in records:
                claims.add(record)
        return claims.owners(self._committed_by)

    def reader(self, offset: int) -> PartitionProcessor:
        """Return an untrained processor with the settings of then for the event at an offset."""
        return InlineLabelProcessor(self._plan(None, self._eras(offset + 1)))

    def _eras(self, end: int) -> tuple[SettingsVersion, ...]:
        notes, settings = self._models.notes, self._settings
        if notes.first_offset() is None:
            if not self._restorer.learns:
                return (SettingsVersion(0, settings.events, settings.labels),)
            raise LogTruncated(
                f"{settings.topic('models')} partition {self._partition} holds no note of the "
                "settings under which events were worked off: has it been emptied?"
            )
        settings_versions, _ = notes.settings_versions(
            settings.events, settings.labels, settings.model, partition=self._partition,
            position=end, version=self._restorer.version, app=settings.app,
        )  # fmt: skip
        return settings_versions

    def _require(self, topic: str, start: int) -> None:
        low, _ = self._restorer.bounds.patiently(topic, self._partition)
        if low > start:
            raise LogTruncated(
                f"{topic} partition {self._partition} begins at offset {low}, but the model of "
                f"then is made of what lay there from offset {start} on, which is gone by the "
                "topic's retention, and no earlier snapshot is kept"
            )

    def _plan(
        self, begin: ReplayStart | None, settings_versions: tuple[SettingsVersion, ...]
    ) -> ProcessorConfig:
        build = self._restorer.build_learner
        if begin is not None:
            learner = begin.learner

            def build() -> Learner:
                return learner

        skips = self._models.notes.skips
        return ProcessorConfig(
            self._source, self._settings.model, build, settings_versions, skips, load_codec
        )
