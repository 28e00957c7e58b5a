"""What commands share that look at an app's state beside its workers, or without any."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millstream.core.models.learner import Learner
from millstream.core.notes import Notes
from millstream.core.records import Side
from millstream.core.shard import Shard
from millstream.core.snapshot_log import SnapshotLog, is_snapshot
from millstream.errors import Stop
from millstream.metrics import Metrics
from millstream.runners.clients import reader_config
from millstream.runners.group_offsets import Committed
from millstream.runners.log_tail import read_stretch
from millstream.runners.restore import ShardRestore
from millstream.runners.restorer import Restorer, Told
from millstream.runners.topics import needed_topics, reason, require_topics, topic_ids
from millstream.settings import Settings
from millstream.stores import new_store

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
