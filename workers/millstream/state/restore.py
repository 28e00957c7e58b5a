"""The only way in which a shard gets its state: at start, after a rebalance, after an abort."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from millstream import _failpoints as failpoints
from millstream.artifacts.user_code import load_codec
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.partition_processor import (
    PartitionProcessor,
    ProcessorConfig,
    SettingsVersion,
)
from millstream.core.processing.replay import (
    NOTHING,
    InputPositions,
    OwnershipHistory,
    StateReplay,
    StoreProgress,
)
from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import InputName, Output, Record
from millstream.core.snapshots.manifest import SnapshotManifest, is_snapshot
from millstream.errors import DeadLetter, StateInvalid, Stop
from millstream.kafka.log_reader import OffsetRange
from millstream.state.log_gaps import LogGaps
from millstream.state.restore_context import RestoreContext, RestoreResult
from millstream.state.retained_store import RetainedStore
from millstream.state.snapshot_search import FoundSnapshot, SnapshotSearch
from millstream.state.snapshot_writer import StoredSnapshots
from millstream.state.topic_identity import topics_changed

log = logging.getLogger(__name__)

Positioned = dict[InputName, int]


class PartitionRestore:
    """One restore of one partition; `step` until `processor` is there."""

    def __init__(
        self,
        context: RestoreContext,
        partition: int,
        committed: Mapping[InputName, int | None],
        committed_by: int | None,
        new_skips: Mapping[tuple[str, int], tuple[DeadLetter, Output | None]],
        kept: RetainedStore | None = None,
    ) -> None:
        """Begin with what the group has committed.

        `committed`: its offsets, None where there are none; `committed_by`: which owner they name;
        `new_skips`: what the last try broke on, with the note that is to say so; `kept`: what is
        left from before the last batch was aborted.
        """
        self._kept = context.new_store() if kept is None else kept
        self._known = NOTHING
        self._log_ends: dict[str, int] = {}
        self._restorer = context
        self._settings = context.settings
        self.partition = partition
        self._lost = LogGaps(self._settings, partition)
        # A restore that was given up (its partition was revoked) may have left it half-way.
        context.reader.close()
        self._committed = committed
        self._committed_by = committed_by
        self._claims = OwnershipHistory()
        self._owners: set[int] | None = None
        self._new_skips = new_skips
        self._source = context.source(partition)
        self._notes = PartitionMetadata()
        self._snapshots = SnapshotManifest(partition)
        self._search: SnapshotSearch | None = None
        self._found: FoundSnapshot | None = None
        self._positions = InputPositions(self._source.events, self._source.labels)
        self._steps = deque(self._plan())
        self._began = time.monotonic()
        self._read_before = context.reader.records_read
        self._fold: StateReplay | None = None
        self._pending_notes: list[Output] = []
        self._topic_notes: list[Output] = []
        self._made: PartitionProcessor | None = None
        self.processor: PartitionProcessor | None = None
        self.positions: Positioned = {}

    def step(self, timeout: float) -> None:
        """Go on for about `timeout` seconds."""
        reader = self._restorer.reader
        if not reader.done():
            reader.step(timeout)
            return
        if self._search is not None and not self._search.done(timeout):
            return
        if self._steps:
            self._steps.popleft()()
            failpoints.reach("mid_restore")
            return
        self._finish()

    def progress(self) -> object:
        """Something that changes for as long as it goes on."""
        return len(self._steps), self._restorer.reader.records_read

    def all_committed(self) -> bool:
        """Whether the group had offsets for all that this shard takes."""
        return not self._offset_missing()

    # -- the steps, in their order --------------------------------------------------------------

    def _plan(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = []
        steps.append(self._read_notes)
        if self._restorer.learns:
            steps += [self._find_snapshot, self._take_snapshot]
        if self._restorer.late:
            if self._settings.processing_guarantee == "at_least_once":
                # Who owned it before says what to come after; what stands in the log when our
                # claim does is what we build on.
                steps += [self._read_claims, self._claim]
            steps += [self._new_fold, self._read_examples, self._read_predictions]
            if self._offset_missing():
                steps.append(self._read_dead_letters)
        else:
            if self._offset_missing():
                steps += [self._read_predicted_positions, self._read_dead_letters]
            steps.append(self._replay_events)
        return steps

    def _offset_missing(self) -> bool:
        sides: list[InputName] = ["events", "labels"] if self._restorer.late else ["events"]
        return any(self._committed.get(side) is None for side in sides)

    def _open(
        self,
        topic: str,
        sink: Callable[[Record], None],
        start: int = 0,
        *,
        all_for: str | None = None,
    ) -> int:
        """Read a log to its end, from its beginning or from `start`.

        Returns how many offsets of it are gone from `start` on. `all_for`: what needs all of it,
        where nothing less than its first record will do.
        """
        low, end = self._restorer.reader.bounds(topic, self.partition)
        if low > start and (start or all_for):
            self._lost.offset_range(topic, start, low, all_for or "the state of the last snapshot")
        gone = max(0, low - start)
        if start > end:
            raise Stop(
                f"{topic} partition {self.partition} ends at offset {end}, but it had come to "
                f"{start} when the last snapshot was taken: the brokers have lost what lay "
                "between; delete the snapshots (millstream snapshots delete) to begin from what is "
                "there, or give the app a new name to start afresh"
            )
        start = max(low, start)
        self._log_ends[topic] = end

        def take(records: Sequence[Record]) -> None:
            for record in records:
                sink(record)

        self._restorer.reader.open(OffsetRange(topic, self.partition, start, end, take))
        return gone

    def _read_notes(self) -> None:
        def take(record: Record) -> None:
            (self._snapshots if is_snapshot(record) else self._notes).add(record)

        self._open(self._settings.topic("models"), take)

    def _find_snapshot(self) -> None:
        context = self._restorer
        if self._notes.first_offset() is not None:
            self._eras(0)  # raises `Stop` for another model before anything is read for it
        self._topic_notes = topics_changed(
            self._notes.topics, self.partition, context.told.partitions, context.told.topic_ids,
            context.logs(), self._settings.app,
        )  # fmt: skip
        version = self._notes.version(context.version)
        self._source = replace(self._source, model_version=version)
        self._search = SnapshotSearch(
            context.opener, self._snapshots, version, self._committed, context.metrics
        )

    def _take_snapshot(self) -> None:
        if self._search is None:
            raise AssertionError("the search is begun by the step before")
        self._found = self._search.found
        if self._found is not None:
            self._claims = OwnershipHistory(self._found.about.claims)
            for side, position in self._found.about.positions.items():
                self._positions.saw("labels" if side == "labels" else "events", position - 1)

    def _new_fold(self) -> None:
        about = self._found.about if self._found else None
        self._known = self._kept.begin_restore(self._committed.get("events"))
        processor = DelayedLabelProcessor(
            self._shard_plan((self._today(0),)), store=self._kept.store
        )
        self._made = processor
        self._fold = StateReplay(
            processor, self._committed, self._owners, about, self._notes.rebuilt, self._known
        )
        self._positions = self._fold.positions

    def _log_start(self, which: Literal["predictions", "examples"]) -> int:
        """From where on a log has to be read."""
        return self._found.about.logs[which] if self._found else 0

    def _late_fold(self) -> StateReplay:
        if self._fold is None:
            raise AssertionError("the fold is made by the step before")
        return self._fold

    def _read_examples(self) -> None:
        start, fold = self._log_start("examples"), self._late_fold()
        all_for = None if self._found else "what the model learned"
        if self._open(self._settings.topic("examples"), fold.example, start, all_for=all_for):
            fold.allow_gap()

    def _read_claims(self) -> None:
        self._open(self._settings.topic("examples"), self._claims.add, self._log_start("examples"))

    def _claim(self) -> None:
        owners = self._owners = self._claims.owners(self._committed_by)
        if self._restorer.owner_log is None:
            return  # a command that only looks: who owns the partition goes on doing so
        owner = max(self._claims.newest() + 1, self._restorer.clock())
        self._restorer.owner_log.claim(self.partition, owner, max(owners))
        failpoints.reach("after_claim")
        self._owners = owners | {owner}

    def _read_predictions(self) -> None:
        start = max(self._log_start("predictions"), self._known.predictions)
        topic, fold = self._settings.topic("predictions"), self._late_fold()
        asked = False

        def take(record: Record) -> None:
            nonlocal asked
            if not asked:
                asked = True
                self._lost.warn_of_cut(topic, record, gone, self._restorer.clock())
            fold.prediction(record)

        gone = self._open(topic, take, start)

    def _read_predicted_positions(self) -> None:
        self._open(self._settings.topic("predictions"), self._positions.prediction)

    def _read_dead_letters(self) -> None:
        self._open(self._settings.topic("dead_letters"), self._positions.dead_letter)

    def _replay_events(self) -> None:
        """Learn again from the events themselves, up to the committed offset."""
        position = self._position("events", self._settings.events.topic)
        settings_versions, notes = self._eras(position)
        processor = self._made = PartitionProcessor(self._shard_plan(settings_versions))
        start = settings_versions[0].start
        if self._found is not None:
            start = self._found.about.positions["events"]
            processor.learned = self._found.about.learned
        # What was too large is in the notes; how large messages may be now says nothing of then.
        processor.source = replace(self._source, max_bytes=sys.maxsize)
        self.positions = {"events": position}

        rebuilt = self._notes.rebuilt

        def replay(records: Sequence[Record]) -> None:
            if rebuilt is not None:
                records = [
                    r for r in records if r.offset >= rebuilt.log_to or rebuilt.learns(r.offset)
                ]
            try:
                processor.process({"events": records}, {}, 0)
            except StateInvalid as broken:
                raise Stop(
                    f"{self._source.events} partition {self.partition}, {broken}: the model did "
                    "not break here when it first learned from this log; has its library changed?"
                ) from broken

        if self._restorer.folds_events and start < position:
            start = self._first_there(start)
            self._restorer.reader.open(
                OffsetRange(self._source.events, self.partition, start, position, replay)
            )
        self._pending_notes = notes

    def _first_there(self, start: int) -> int:
        """Where the replay of events begins: at `start`, if they are still there."""
        low, _ = self._restorer.reader.bounds(self._source.events, self.partition)
        if low > start:
            rejected = self._search.rejected if self._search else ""
            why = f" (a snapshot was passed over: {rejected})" if rejected else ""
            self._lost.offset_range(self._source.events, start, low, f"what the model learned{why}")
        return max(low, start)

    # -- pieces ---------------------------------------------------------------------------------

    def _today(self, start: int) -> SettingsVersion:
        return SettingsVersion(start, self._settings.events, self._settings.labels)

    def _eras(self, position: int) -> tuple[tuple[SettingsVersion, ...], list[Output]]:
        if not self._restorer.learns and self._notes.first_offset() is None:
            return (self._today(position),), []
        settings = self._settings
        return self._notes.settings_versions(
            settings.events, settings.labels, settings.model, partition=self.partition,
            position=position, version=self._restorer.version, app=settings.app,
        )  # fmt: skip

    def _shard_plan(self, settings_versions: tuple[SettingsVersion, ...]) -> ProcessorConfig:
        skips = {**self._notes.skips, **{where: bad for where, (bad, _) in self._new_skips.items()}}
        build = self._restorer.build_learner
        if self._found is not None:
            learner = self._found.learner

            def build() -> Learner:
                return learner

        return ProcessorConfig(
            self._source, self._settings.model, build, settings_versions, skips, load_codec
        )

    def _position(self, side: InputName, topic: str) -> int:
        """Where to go on: the committed offset, else what the outputs say, else the setting."""
        low, high = self._restorer.reader.bounds(topic, self.partition)
        position = self._committed.get(side)
        if position is None:
            position = self._positions.next[side] or (
                low if self._settings.events.start == "earliest" else high
            )
        return self._lost.position(topic, position, low, high)

    def _what_is_known(self, processor: DelayedLabelProcessor) -> StoreProgress:
        known = StoreProgress(
            self.positions["events"],
            predictions=self._log_ends[self._settings.topic("predictions")],
            examples=self._log_ends[self._settings.topic("examples")],
        )
        # What was predicted beyond the committed offset is not in the store, but in the shard: the
        # next restore has to read of it again.
        return known._replace(predictions=0) if processor.predicted_offsets else known

    def _finish(self) -> None:
        processor = self._made
        if processor is None:
            raise AssertionError("the steps make a shard")
        notes: list[Output]
        if isinstance(processor, DelayedLabelProcessor):
            fold = self._late_fold()
            fold.finish()
            processor.owner = fold.owner
            topics: dict[InputName, str] = {
                "events": self._source.events, "labels": self._source.labels or ""
            }  # fmt: skip
            self.positions = {side: self._position(side, topics[side]) for side in processor.sides}
            _, notes = self._eras(self.positions["events"])
            self._kept.restored(self._what_is_known(processor))
        else:
            notes = self._pending_notes
        processor.source = self._source
        if self._found and processor.latest is None:
            processor.latest = self._found.probed
        self.restored = self._began_from(processor)
        processor.announce(
            [*notes, *self._topic_notes, *(note for _, note in self._new_skips.values() if note)]
        )
        self.processor = processor
        self._report(processor)

    def _began_from(self, processor: PartitionProcessor) -> RestoreResult:
        about = self._found.about if self._found else None
        return RestoreResult(
            about.learned if about else 0,
            about.positions if about else {},
            StoredSnapshots.of(self._snapshots),
            self._claims.chain(processor.owner)
            if isinstance(processor, DelayedLabelProcessor)
            else {},
            self._source.model_version,
            self._notes.attempt,
        )

    def _report(self, processor: PartitionProcessor) -> None:
        replayed = self._restorer.reader.records_read - self._read_before
        seconds = time.monotonic() - self._began
        self._restorer.metrics.observe_restore(self.partition, replayed, seconds)
        log.info(
            "restored",
            extra={
                "partition": self.partition,
                "positions": dict(self.positions),
                "learned": processor.learned,
                "waiting": processor.waiting(),
                "waiting_kept": self._known != NOTHING,
                "snapshot": self.restored.learned if self._found else None,
                "replayed": replayed,
                "seconds": round(seconds, 3),
            },
        )
