"""Check that the model is the one that the app's partitions learned with."""

from collections.abc import Mapping, Sequence

from millstream.checks.finding import Finding
from millstream.config.settings import Settings
from millstream.core.models.factory import definition_digest
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka.admin import TopicInfo
from millstream.kafka.log_reader import read_log
from millstream.kafka.watermarks import Watermarks


def check_notes(
    settings: Settings, learner: Learner, bounds: Watermarks, known: Mapping[str, TopicInfo]
) -> list[Finding]:
    """Read the models topic as a restore does, and report what would stop the worker there.

    `known`: the topics that exist. Returns nothing without a models topic.
    """
    topic = known.get(settings.topic("models"))
    version = definition_digest(settings.model, settings.labels, learner.traits.factory_fingerprint)
    learned = 0
    for partition in range(topic.partitions if topic else 0):
        try:
            notes = _read_notes(settings, bounds, partition)
            if notes.first_offset() is None:
                continue
            learned += 1
            notes.settings_versions(
                settings.events, settings.labels, settings.model, partition=partition,
                position=0, version=version, app=settings.app,
            )  # fmt: skip
        except Stop as stop:
            return [Finding("error", "model", str(stop))]
    if not (learned and learner.traits.learns):
        return []
    who = "1 partition has" if learned == 1 else f"{learned} partitions have"
    return [Finding("ok", "model", f"the same that {who} learned with")]


def _read_notes(settings: Settings, bounds: Watermarks, partition: int) -> PartitionMetadata:
    notes = PartitionMetadata()

    def take(records: Sequence[Record]) -> None:
        for record in records:
            notes.add(record)

    read_log(settings, bounds, settings.topic("models"), partition, take)
    return notes
