"""Read-only access to an app's state for commands, beside its workers or without any."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.snapshots.manifest import SnapshotManifest, is_snapshot
from millstream.disk_store import new_store
from millstream.errors import Stop
from millstream.kafka.admin import reason, topic_ids
from millstream.kafka.client_config import reader_config
from millstream.kafka.group_offsets import CommittedOffsets
from millstream.kafka.log_reader import read_offset_range
from millstream.kafka.topic_layout import needed_topics, require_topics
from millstream.observability.metrics import Metrics
from millstream.state.ports import TopicFacts
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import KafkaRestoreContext

STEP_SECONDS: Final = 0.5


def looking_restorer(
    settings: Settings, build_learner: Callable[[], Learner], admin: AdminClient
) -> KafkaRestoreContext:
    """Make the restore context of a command: it writes nothing and claims no partition.

    Raises `TopicsNotReady` where topics are missing.
    """
    partitions = require_topics(settings, admin)
    told = TopicFacts(partitions, topic_ids(admin, needed_topics(settings).values()), sys.maxsize)
    return KafkaRestoreContext(
        settings, build_learner, admin, reader_config(settings), None, told, Metrics(),
        lambda: new_store(settings.waiting.store, settings.waiting.directory),
    )  # fmt: skip


class PartitionModels(NamedTuple):
    """The records of one partition in the models topic."""

    notes: PartitionMetadata
    snapshots: SnapshotManifest


def read_models(context: KafkaRestoreContext, partition: int) -> PartitionModels:
    """Read a partition of the models topic to its end."""
    models = PartitionModels(PartitionMetadata(), SnapshotManifest(partition))
    topic = context.settings.topic("models")
    start, end = context.bounds.patiently(topic, partition)
    for records in read_offset_range(context.settings, topic, partition, start, end):
        for record in records:
            (models.snapshots if is_snapshot(record) else models.notes).add(record)
    return models


@contextmanager
def restored_now(
    context: KafkaRestoreContext, partition: int, committed: CommittedOffsets
) -> Generator[PartitionProcessor]:
    """Restore a partition at the committed offsets, as a worker does. Raises `Stop`."""
    kept = context.new_store()
    try:
        restore = PartitionRestore(context, partition, *committed, {}, kept)
        while (result := restore.step(STEP_SECONDS)) is None:
            pass
        yield result.processor
    except KafkaException as error:
        raise Stop(f"partition {partition} cannot be restored: {reason(error)}") from error
    finally:
        kept.close()
