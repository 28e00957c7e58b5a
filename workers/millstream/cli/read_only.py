"""Set-up of commands that read an app without changing it."""

from pathlib import Path

from confluent_kafka.admin import AdminClient

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import Settings
from millstream.kafka.topic_layout import TopicsNotReady
from millstream.operations.read_only import looking_restorer
from millstream.state.restore_context import KafkaRestoreContext


def looking(path: Path, settings: Settings, admin: AdminClient) -> KafkaRestoreContext:
    """The restore context of a command that only reads; `path`: the settings file."""
    try:
        return looking_restorer(settings, learner_factory(settings), admin)
    except TopicsNotReady as error:
        raise TopicsNotReady(error.found, str(path)) from error
