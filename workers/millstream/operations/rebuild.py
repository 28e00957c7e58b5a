"""Rebuilds of each partition's model from its training log, while no worker runs.

The training log is `events` with inline labels, and `examples` with delayed ones. The new model is
stored as a snapshot, and a note records the range that it was learned from; from then on the app's
workers continue with it. Until the note is written, nothing has changed. The note alone is enough:
without a snapshot, a worker learns the model from the log again.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from millstream.artifacts.user_code import load_codec
from millstream.core.join.replay_points import START
from millstream.core.models.state_codec import capture
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.ownership import OwnershipHistory
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.processing.replay import StateReplay
from millstream.core.processing.settings_history import PartitionMetadata, Rebuilt
from millstream.core.records.outputs import rebuilt_note, topics_note
from millstream.core.records.record import InputName, Record
from millstream.core.snapshots.manifest import SnapshotManifest, is_snapshot
from millstream.core.spec import deciding
from millstream.errors import StateInvalid, Stop
from millstream.kafka.admin import BROKER_TIMEOUT_SECONDS
from millstream.kafka.group_offsets import committed_offsets
from millstream.kafka.log_reader import read_log
from millstream.kafka.producer import ConfirmedWriter
from millstream.snapshots.writer import SnapshotWriter, StoredSnapshots
from millstream.state.restore_context import KafkaRestoreContext
from millstream.state.snapshot_metadata import metadata_of
from millstream.state.snapshot_scheduler import FAILURES

log = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]
"""Partition, records read, records in all."""


class LogPoint(NamedTuple):
    """A position in a training log: its start or end, an offset, or a time."""

    at: Literal["start", "end"] | int | datetime

    @classmethod
    def parse(cls, text: str) -> "LogPoint":
        """Read `start`, `end`, `1200` or `2026-01-31T12:00` (UTC). Raises ValueError."""
        if text in {"start", "end"}:
            return cls("start" if text == "start" else "end")
        if text.isdecimal():
            return cls(int(text))
        time = datetime.fromisoformat(text)
        return cls(time if time.tzinfo else time.replace(tzinfo=UTC))


@dataclass(frozen=True)
class RebuiltModel:
    """The new model of one partition."""

    partition: int
    version: str
    learned: int
    digest: str | None
    log_from: int
    log_to: int
    skipped: tuple[tuple[int, int], ...]


class Rebuild:
    """Rebuilds an app's partitions, one at a time."""

    def __init__(
        self,
        context: KafkaRestoreContext,
        consumer: Consumer,
        topic: ConfirmedWriter,
        writer: SnapshotWriter,
        now: Callable[[], int],
    ) -> None:
        """`consumer`: in the app's group, which it never joins; `now`: the time in ms."""
        self._restorer = context
        self._settings = context.settings
        self._consumer = consumer
        self._topic = topic
        self._writer = writer
        self._now = now
        self._log = (
            self._settings.topic("examples") if context.late else self._settings.events.topic
        )

    def check_idle(self) -> None:
        """Raise `Stop` where a worker of the app is running."""
        app = self._settings.app
        group = self._restorer.admin.describe_consumer_groups([app])[app].result()
        if group.members:
            raise Stop(
                f"{len(group.members)} workers of app {app} are running: stop them first, as they "
                "would go on with the model that they have"
            )

    def partition(
        self,
        number: int,
        since: LogPoint,
        skips: Sequence[tuple[LogPoint, LogPoint]],
        progress: Progress,
    ) -> RebuiltModel | None:
        """Rebuild one partition's model; None if nothing of it was processed yet. Raises `Stop`."""
        notes, snapshots = self._read_notes(number)
        committed, owner = self._committed(number)
        position = committed.get("events")
        if position is None:
            return None
        low, end = self._restorer.bounds.of(self._log, number)
        end = end if self._restorer.late else position
        begin = 0 if self._restorer.late else notes.began or 0
        start = min(end, max(self._offset(since, number, begin, end), 0))
        if low > start:
            if since.at != "start":
                raise Stop(
                    f"{self._log} partition {number} begins at offset {low}, and {start} is gone: "
                    "name a later point with --from"
                )
            start = min(low, end)
        offset_ranges = [
            (self._offset(a, number, start, end), self._offset(b, number, start, end))
            for a, b in skips
        ]
        plan = Rebuilt(
            lineage=1 + (notes.rebuilt.lineage if notes.rebuilt else 0),
            log_from=start,
            log_to=end,
            learned=0,
            skipped=tuple(
                (max(a, start), min(b, end)) for a, b in offset_ranges if b > start and a < end
            ),
        )
        processor, claims = self._replay(number, plan, notes, committed, owner, progress)
        plan = plan.model_copy(update={"learned": processor.learned})
        self._write(number, plan, processor, claims, committed, StoredSnapshots.of(snapshots))
        version = f"{self._restorer.version}-{plan.lineage}"
        digest = processor.learner.digest() if processor.learner.traits.learns else None
        return RebuiltModel(number, version, processor.learned, digest, start, end, plan.skipped)

    # -- reading what exists ----------------------------------------------------------------------

    def _read_notes(self, number: int) -> tuple[PartitionMetadata, SnapshotManifest]:
        notes, snapshots = PartitionMetadata(), SnapshotManifest(number)

        def take(records: Sequence[Record]) -> None:
            for record in records:
                (snapshots if is_snapshot(record) else notes).add(record)

        bounds = self._restorer.bounds
        read_log(self._settings, bounds, self._settings.topic("models"), number, take)
        return notes, snapshots

    def _committed(self, number: int) -> tuple[dict[InputName, int | None], int | None]:
        return committed_offsets(self._consumer, self._settings.inputs, number)

    def _offset(self, point: LogPoint, number: int, start: int, end: int) -> int:
        at = point.at
        if isinstance(at, datetime):
            place = TopicPartition(self._log, number, int(at.timestamp() * 1000))
            found = self._consumer.offsets_for_times([place], timeout=BROKER_TIMEOUT_SECONDS)[0]
            return end if found.offset < 0 else int(found.offset)
        return {"start": start, "end": end}[at] if isinstance(at, str) else at

    # -- the replay -------------------------------------------------------------------------------

    def _replay(
        self, number: int, plan: Rebuilt, notes: PartitionMetadata, committed: dict[InputName, int
        | None], owner: int | None, progress: Progress,
    ) -> tuple[PartitionProcessor, OwnershipHistory]:  # fmt: skip
        settings, context = self._settings, self._restorer
        source = replace(context.source(number), max_bytes=sys.maxsize)
        today = SettingsVersion(plan.log_from, settings.events, settings.labels)
        shard_plan = ProcessorConfig(
            source, settings.model, context.build_learner, (today,), notes.skips, load_codec
        )
        claims = OwnershipHistory()
        if not context.learns:
            return InlineLabelProcessor(shard_plan), claims
        if not context.late:
            processor = InlineLabelProcessor(shard_plan)

            def learn(records: Sequence[Record]) -> None:
                processor.process({"events": plan.left_in(records)}, {}, 0)

            self._read(number, plan.log_from, plan.log_to, learn, progress)
            return processor, claims
        late = DelayedLabelProcessor(shard_plan)
        owners: set[int] | None = None
        if settings.processing_guarantee == "at_least_once":
            self._read(number, 0, plan.log_to, claims.add_all, progress)
            owners = claims.owners(owner)
        fold = StateReplay(late, committed, owners, None, plan)
        self._read(number, 0, plan.log_to, fold.examples, progress)
        late.epoch = fold.epoch
        return late, claims

    def _read(
        self, number: int, start: int, end: int, take: Callable[[Sequence[Record]], object],
        progress: Progress,
    ) -> None:  # fmt: skip
        def sink(records: Sequence[Record]) -> None:
            inside = [record for record in records if start <= record.offset < end]
            if not inside:
                return
            try:
                take(inside)
            except StateInvalid as broken:
                raise Stop(
                    f"the new model raises {broken.skip.detail} on offset {broken.offset} of "
                    f"{self._log}, partition {number}: leave it out with "
                    f"--skip {broken.offset}..{broken.offset + 1}"
                ) from broken
            progress(number, inside[-1].offset + 1 - start, end - start)

        read_log(self._settings, self._restorer.bounds, self._log, number, sink, start=start)

    # -- writing the result -----------------------------------------------------------------------

    def _write(
        self, number: int, plan: Rebuilt, processor: PartitionProcessor, claims: OwnershipHistory,
        committed: dict[InputName, int | None], kept: StoredSnapshots,
    ) -> None:  # fmt: skip
        context, settings = self._restorer, self._settings
        if processor.learner.traits.learns:
            about = metadata_of(
                context, number, {side: offset or 0 for side, offset in committed.items()},
                processor.learned, f"{context.version}-{plan.lineage}", self._now(),
                [START] if processor.output_logs else [], claims.chain(processor.epoch),
            )  # fmt: skip
            try:
                self._writer.write(capture(processor.learner), about, processor.latest, kept)
            except FAILURES as error:
                log.warning(
                    "the new model is written down without a snapshot, so the next start of a "
                    "worker learns it from the log again",
                    extra={"partition": number, "reason": f"{error}"},
                )
        self.check_idle()
        decides = deciding(settings.events, settings.labels, settings.model)
        told = context.topics
        ids = {t: told.topic_ids[t] for t in context.logs() if t in told.topic_ids}
        notes = [
            rebuilt_note(
                number, committed["events"] or 0, context.version, decides, plan.model_dump()
            ),
            *([topics_note(number, told.partitions, ids)] if ids else []),
        ]
        self._topic.write(number, notes)
