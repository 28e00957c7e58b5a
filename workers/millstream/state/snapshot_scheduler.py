"""Schedule of snapshots; the loop waits only for a copy of the model's state.

All else happens in a thread. A snapshot only shortens a restore, so one that fails is reported, and
tried again when the next is due.
"""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException

from millstream.config.sections import SnapshotSettings
from millstream.core.models.state_codec import CannotCaptureError, capture
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.kafka.producer import NotWritten
from millstream.observability.metrics import Metrics
from millstream.snapshots.writer import SnapshotWriter, StoredSnapshots
from millstream.state.partition import Partition
from millstream.state.restore_context import KafkaRestoreContext, wall_clock
from millstream.state.snapshot_metadata import snapshot_metadata

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
RELEASE_SECONDS: Final = 5.0
"""How long a revoke or a stop waits for its last snapshots."""
RETRY_SECONDS: Final = 30.0
REST: Final = 30
"""Seconds without a snapshot for each second that the last one took to copy and encode: Python runs
one thread at a time, so a large model takes the loop's time."""
FAILURES: Final = (BadSnapshot, NotWritten, OSError, KafkaException, CannotCaptureError)
"""Errors that cost a snapshot and nothing else."""


@dataclass(slots=True)
class _Track:
    """Progress of one partition's snapshots."""

    partition: Partition
    processor: PartitionProcessor
    learned: int
    """Examples in the last one; likewise `positions`."""
    positions: Mapping[str, int]
    stored: StoredSnapshots = field(default_factory=StoredSnapshots)
    due_at: float = 0.0
    """Time of the next one by age, on the monotonic clock."""
    pause: float = 0.0
    """Seconds that the loop waited for the last one."""
    rest_until: float = 0.0
    """Earliest time of the next one, on the monotonic clock: see `REST`."""
    ends: "Future[tuple[int, int]] | None" = None
    """Ends of predictions and examples, asked for a new replay point."""
    job: "Future[tuple[ManifestEntry, float]] | None" = None


class SnapshotScheduler:
    """Takes the snapshots of a worker's partitions."""

    def __init__(
        self,
        settings: SnapshotSettings,
        context: KafkaRestoreContext,
        writer: SnapshotWriter,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._context = context
        self._writer = writer
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(1, "snapshots")
        self._takes_any = settings.enabled and context.learns
        self._tracks: dict[int, _Track] = {}
        self._look_at = 0.0

    def turn(self, partitions: list[Partition]) -> None:
        """Take the snapshots that are due; for the loop, between two batches."""
        now = time.monotonic()
        if now < self._look_at or not self._takes_any:
            return
        self._look_at = now + LOOK_SECONDS
        for partition in partitions:
            processor = partition.processor
            if processor is None:
                continue
            track = self._track(partition, processor)
            self._collect(partition.number, track)
            if track.job is None and self._due(track, partition, now):
                self._advance(partition, track)

    def release(self, partitions: list[Partition]) -> None:
        """Take last snapshots of partitions that are about to be revoked, for `RELEASE_SECONDS`."""
        if not self._takes_any:
            return
        until = time.monotonic() + RELEASE_SECONDS
        tracks = {
            each.number: self._track(each, each.processor) for each in partitions if each.processor
        }
        wait([track.job for track in tracks.values() if track.job], RELEASE_SECONDS)
        for partition in partitions:
            track = tracks.get(partition.number)
            if track is None:
                continue
            self._collect(partition.number, track)
            if track.job is None and track.learned != track.processor.learned:
                self._take(partition, track)
        wait([t.job for t in tracks.values() if t.job], max(0.0, until - time.monotonic()))
        for number, track in tracks.items():
            self._collect(number, track)
            self._tracks.pop(number, None)

    def close(self) -> None:
        """Close the thread and the writer; a snapshot that is not stored by now is not needed."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._writer.close()

    # -- when -----------------------------------------------------------------------------------

    def _track(self, partition: Partition, processor: PartitionProcessor) -> _Track:
        track = self._tracks.get(partition.number)
        if track is None or track.processor is not processor:
            origin = partition.origin
            # After an abort: the same partition, whose last snapshot may still be on its way.
            same = track if track is not None and track.partition is partition else None
            track = self._tracks[partition.number] = _Track(
                partition,
                processor,
                origin.learned,
                origin.positions,
                origin.stored if same is None else same.stored,
                time.monotonic() + self._settings.every / 1000,
                job=None if same is None else same.job,
            )
            if same is None:
                self._report_age(partition)
        return track

    def _report_age(self, partition: Partition) -> None:
        """Report the age of the last snapshot; without one, of the partition's restore."""
        stored = partition.origin.stored.pointers
        size, taken_at = (stored[-1].bytes, stored[-1].created_at) if stored else (0, wall_clock())
        self._metrics.partitions.set_snapshot(partition.number, size, taken_at)

    def _due(self, track: _Track, partition: Partition, now: float) -> bool:
        if track.ends is not None:
            return True
        if now < track.rest_until:
            return False
        if track.processor.learned - track.learned >= self._settings.examples:
            return True
        return now >= track.due_at and partition.positions != track.positions

    def _advance(self, partition: Partition, track: _Track) -> None:
        """Do one step of a snapshot: with delayed labels, the ends of the logs are needed first."""
        processor = track.processor
        if processor.output_logs:
            if track.ends is None:
                track.ends = self._pool.submit(self._log_ends, partition.number)
                return
            if not track.ends.done():
                return
            asked, track.ends = track.ends, None
            try:
                # Asked for a moment ago: nothing that is written from now on lies below them.
                processor.mark(partition.positions, *asked.result())
            except KafkaException as error:
                self._failed(partition.number, track, error)
                return
        self._take(partition, track)

    def _log_ends(self, partition: int) -> tuple[int, int]:
        settings, bounds = self._context.settings, self._context.bounds
        _, predictions = bounds.of(settings.topic("predictions"), partition)
        _, examples = bounds.of(settings.topic("examples"), partition)
        return predictions, examples

    # -- one snapshot -----------------------------------------------------------------------------

    def _take(self, partition: Partition, track: _Track) -> None:
        began = time.monotonic()
        processor = track.processor
        try:
            captured = capture(processor.learner)
        except CannotCaptureError as error:
            self._failed(partition.number, track, error)
            return
        about = snapshot_metadata(self._context, partition, processor, wall_clock())
        canary = None if processor.latest is None else dict(processor.latest)
        track.pause = time.monotonic() - began
        self._metrics.batches.observe_stage("snapshot", track.pause)
        track.learned = processor.learned
        track.positions = dict(about.positions)
        track.due_at = began + self._settings.every / 1000
        track.job = self._pool.submit(self._writer.write, captured, about, canary, track.stored)

    def _collect(self, number: int, track: _Track) -> None:
        """Report a snapshot that is done."""
        if track.job is None or not track.job.done():
            return
        job, track.job = track.job, None
        try:
            pointer, seconds = job.result()
        except FAILURES as error:
            self._failed(number, track, error)
            return
        track.rest_until = time.monotonic() + REST * (track.pause + seconds)
        self._metrics.partitions.set_snapshot(number, pointer.bytes, pointer.created_at)
        self._metrics.partitions.count_snapshot("written")
        log.info(
            "snapshot",
            extra={"partition": number, "positions": pointer.positions, "learned": pointer.learned,
                   "bytes": pointer.bytes, "seconds": round(seconds, 3),
                   "pause": round(track.pause, 4)},
        )  # fmt: skip

    def _failed(self, number: int, track: _Track, error: Exception) -> None:
        self._metrics.partitions.count_snapshot("failed")
        track.due_at = time.monotonic() + min(RETRY_SECONDS, self._settings.every / 1000)
        track.positions = {}
        track.learned = track.processor.learned
        log.warning(
            "snapshot failed; the worker goes on, and a restore would read more of the logs",
            extra={"partition": number, "reason": str(error)},
        )
