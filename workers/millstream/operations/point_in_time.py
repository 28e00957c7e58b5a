"""Shards as they were: from a snapshot of then, or the beginning, forward through the log.

The worker's restore makes a shard of *now*. This goes through the same notes, snapshots and folds,
and can stop at any moment between two records; it writes nothing.
"""

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

from millstream.artifacts.user_code import load_codec
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.partition_processor import (
    PartitionProcessor,
    ProcessorConfig,
    SettingsVersion,
)
from millstream.core.processing.replay import OwnershipHistory, StateReplay
from millstream.core.records.record import BatchResult
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.core.snapshots.snapshot import BadSnapshot, SnapshotMetadata
from millstream.errors import MillstreamError, StateInvalid
from millstream.kafka.log_scan import read_stretch
from millstream.operations.read_only import read_models
from millstream.state.restore_context import KafkaRestoreContext


class LogTruncated(MillstreamError):
    """The logs do not hold what a replay needs any more; the message is one sentence."""


class ReplayStart(NamedTuple):
    """A snapshot to begin from, and the learner that was made of it, to be used once."""

    name: str
    about: SnapshotMetadata
    learner: Learner


class PointInTimeReplay:
    """One partition of an app."""

    def __init__(
        self, context: KafkaRestoreContext, partition: int, committed_by: int | None
    ) -> None:
        """`committed_by`: at least once, whose offsets the group holds (see `OwnershipHistory`)."""
        self._restorer = context
        self._settings = context.settings
        self._partition = partition
        self._committed_by = committed_by
        self._models = read_models(context, partition)
        self.version = self._models.notes.version(context.version)
        """Of the model that can be replayed here, with its lineage."""
        # How large a message may be now says nothing of then; what was too large is in the notes.
        self._source = replace(
            context.source(partition), model_version=self.version, max_bytes=sys.maxsize
        )
        self.passed_over: dict[str, str] = {}
        """Snapshots that did not prove themselves, and why."""

    def newest(self, fits: Callable[[ManifestEntry], bool]) -> ManifestEntry | None:
        """The newest snapshot of today's model that fits and was not passed over."""
        for pointer in self._models.snapshots.pointers():
            mine = pointer.model_version == self.version and pointer.name not in self.passed_over
            if mine and fits(pointer):
                return pointer
        return None

    def open(self, pointer: ManifestEntry) -> ReplayStart | None:
        """Prove a snapshot and make its learner; None where it is bad, which is remembered."""
        opener = self._restorer.opener
        try:
            snapshot = opener.open(pointer, self._models.snapshots)
            return ReplayStart(pointer.name, snapshot.about, opener.load(snapshot, self.version))
        except BadSnapshot as bad:
            self.passed_over[pointer.name] = str(bad)
            return None

    def events(self, begin: ReplayStart | None, end: int) -> Generator[BatchResult]:
        """What a shard whose model learns from events makes of them, from `begin` to below `end`.

        Each outcome is what the worker's was, but for what the clock had to do with it. Raises
        `LogTruncated`, and `Stop` where the model is another one.
        """
        settings_versions = self._eras(end)
        start = settings_versions[0].start if begin is None else begin.about.positions["events"]
        self._require(self._settings.events.topic, start)
        processor = PartitionProcessor(self._plan(begin, settings_versions))
        if begin is not None:
            processor.learned = begin.about.learned
        rebuilt = self._models.notes.rebuilt
        topic = self._settings.events.topic
        for records in read_stretch(self._settings, topic, self._partition, start, end):
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
        """The shard whose labels come late, at `begin` and after each record of the examples.

        It is one shard, which changes between two steps; only what it has learned is of then.
        `owners`: as `owners` gives them. Raises `LogTruncated`, and `Stop` where the examples are
        not what the model learned from.
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
        for records in read_stretch(self._settings, topic, self._partition, start, end):
            for record in records:
                fold.example(record)
                yield processor

    def owners(self, begin: ReplayStart | None) -> set[int] | None:
        """Owners whose records count; None: all, as transactions fenced the others."""
        if self._settings.processing_guarantee == "exactly_once" or not self._restorer.late:
            return None
        topic = self._settings.topic("examples")
        start, end = self._restorer.bounds.patiently(topic, self._partition)
        claims = OwnershipHistory()
        if begin is not None:
            claims = OwnershipHistory(begin.about.claims)
            start = max(start, begin.about.logs["examples"])
        for records in read_stretch(self._settings, topic, self._partition, start, end):
            for record in records:
                claims.add(record)
        return claims.owners(self._committed_by)

    def reader(self, offset: int) -> PartitionProcessor:
        """A shard that reads the event at an offset as it was read, and has learned nothing."""
        return PartitionProcessor(self._plan(None, self._eras(offset + 1)))

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
