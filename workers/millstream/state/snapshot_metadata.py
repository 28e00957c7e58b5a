"""Metadata of a new snapshot: the state of the logs that its model belongs to."""

from collections.abc import Mapping, Sequence

from millstream.core.join.replay_points import ReplayPoint
from millstream.core.models.factory import describe
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import InputName
from millstream.core.snapshots.snapshot import SnapshotMetadata
from millstream.state.partition import Partition
from millstream.state.restore_context import RestoreContext


def snapshot_metadata(
    context: RestoreContext, partition: Partition, processor: PartitionProcessor, created_at: int
) -> SnapshotMetadata:
    """Metadata of a snapshot of a running partition; `created_at` in ms."""
    return metadata_of(
        context, partition.number, partition.positions, processor.learned, partition.origin.version,
        created_at, processor.replay_points(), partition.origin.ownership,
    )  # fmt: skip


def metadata_of(
    context: RestoreContext,
    partition: int,
    positions: Mapping[InputName, int],
    learned: int,
    version: str,
    created_at: int,
    points: Sequence[ReplayPoint],
    ownership: Mapping[str, int],
) -> SnapshotMetadata:
    """Metadata of a snapshot whose model has learned so many examples.

    `positions`: per input, the offset after the last record that is in it; `version`: of the model,
    with its generation; `points`: with delayed labels, the replay points from which a restore
    reads, oldest first; `ownership`: as of `OwnershipHistory.chain`.
    """
    return SnapshotMetadata(
        app=context.settings.app,
        partition=partition,
        positions={name: offset for name, offset in positions.items()},  # noqa: C416 - to str
        logs=points[0].logs() if points else {},
        topic_ids=context.topics.topic_ids,
        learned=learned,
        model_version=version,
        model=describe(context.settings.model),
        versions=context.versions,
        created_at=created_at,
        marks=[list(point) for point in points],
        claims=dict(ownership),
    )
