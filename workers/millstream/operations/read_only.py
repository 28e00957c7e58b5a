"""What commands share that look at an app's state beside its workers, or without any."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.partition_processor import Shard
from millstream.core.processing.settings_history import Notes
from millstream.core.records.record import Side
from millstream.core.snapshots.manifest import SnapshotLog, is_snapshot
from millstream.disk_store import new_store
from millstream.errors import Stop
from millstream.kafka.client_config import reader_config
from millstream.kafka.group_offsets import Committed
from millstream.kafka.log_scan import read_stretch
from millstream.kafka.topics import needed_topics, reason, require_topics, topic_ids
from millstream.observability.metrics import Metrics
from millstream.state.restore import ShardRestore
from millstream.state.restore_context import Restorer, Told

STEP_SECONDS: Final = 0.5


def looking_restorer(
    settings: Settings, build_learner: Callable[[], Learner], admin: AdminClient
) -> Restorer:
    """What restores share, for a command: it writes nothing and claims nothing.

    Raises `TopicsNotReady` where topics are missing.
    """
    partitions = require_topics(settings, admin)
    told = Told(partitions, topic_ids(admin, needed_topics(settings).values()), sys.maxsize)
    return Restorer(
        settings, build_learner, admin, reader_config(settings), None, told, Metrics(),
        lambda: new_store(settings.waiting.store, settings.waiting.directory),
    )  # fmt: skip


def input_topics(restorer: Restorer) -> dict[Side, str]:
    """The inputs of a shard."""
    topics: dict[Side, str] = {"events": restorer.settings.events.topic}
    if restorer.late:
        topics["labels"] = str(restorer.settings.labels.topic)
    return topics


class Models(NamedTuple):
    """What the models topic holds of one partition."""

    notes: Notes
    snapshots: SnapshotLog


def read_models(restorer: Restorer, partition: int) -> Models:
    """Read a partition of the models topic to its end."""
    models = Models(Notes(), SnapshotLog(partition))
    topic = restorer.settings.topic("models")
    start, end = restorer.bounds.patiently(topic, partition)
    for records in read_stretch(restorer.settings, topic, partition, start, end):
        for record in records:
            (models.snapshots if is_snapshot(record) else models.notes).add(record)
    return models


@contextmanager
def restored_now(restorer: Restorer, partition: int, committed: Committed) -> Generator[Shard]:
    """The shard at the committed offsets, by the restore of the worker. Raises `Stop`."""
    kept = restorer.new_store()
    try:
        restore = ShardRestore(restorer, partition, *committed, {}, kept)
        while restore.shard is None:
            restore.step(STEP_SECONDS)
        yield restore.shard
    except KafkaException as error:
        raise Stop(f"partition {partition} cannot be restored: {reason(error)}") from error
    finally:
        kept.close()
