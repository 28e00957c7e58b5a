"""The model of a partition, with the reader of its events."""

from collections.abc import Callable
from typing import Any

from millstream.core.formats.events import EventReader
from millstream.core.models.interface.answers import answer_is_finite
from millstream.core.models.interface.learner import Answer, Features
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.records import outputs
from millstream.core.records.event import Event
from millstream.core.records.model_errors import raised
from millstream.core.records.record import (
    UNREADABLE_HEADERS,
    BatchResult,
    InputName,
    Output,
    Record,
)
from millstream.errors import DeadLetter


class PartitionModel:
    """One learner and the number of its examples, shared by the parts of a processor."""

    def __init__(self, config: ProcessorConfig) -> None:
        """Build the learner, which has learned nothing yet or what a snapshot holds."""
        self.source = config.source
        self.learner = config.build_learner()
        self.learned = 0
        """Number of examples that the learner has learned."""
        self.latest: Features | None = None
        """Features of the latest event predicted on, which a snapshot is verified with."""
        self.before: Callable[[str, int], None] | None = None
        """Called before work on a record, in the terms of `ProcessorConfig.skips`: the first event
        of a batch, or (labels from a topic) each record and example. None: no observer."""
        self.skips = config.skips
        self.announced: list[Output] = []
        """Control records to write with the next result."""
        self._config = config
        self.reader = self.reader_of(config.settings_versions[0])

    def reader_of(self, version: SettingsVersion) -> EventReader:
        """Return a reader of events under one version of the settings."""
        config = self._config
        return EventReader(
            version.events, version.labels, self.learner, config.model.classes, config.codecs
        )

    def fast_path(self) -> Callable[[bytes | None], Event | None] | None:
        """Return the shortcut for plain events; None where skips or settings rule it out."""
        return None if self.skips else self.reader.usual

    def read(self, record: Record) -> Event | None:
        """Return the event in a record, None for a tombstone; raises `DeadLetter`."""
        if self.skips and ("events", record.offset) in self.skips:
            raise self.skips["events", record.offset]
        if record.headers is UNREADABLE_HEADERS:
            raise DeadLetter("headers", "a header's name is not UTF-8")
        if record.value is None:
            return None
        return self.reader.read(record.value)

    def answer(self, features: Features) -> Answer:
        """Return the model's answer to an event; raises `DeadLetter`."""
        try:
            answer = self.learner.predict(features)
        except Exception as error:
            raise predict_error(error, features) from error
        if not answer_is_finite(answer):
            raise DeadLetter("not_finite")
        return answer

    def transform(self, features: Features) -> dict[str, Any]:
        """Return what the last step of the model sees of an event; raises `DeadLetter`."""
        try:
            return self.learner.transform(features)
        except Exception as error:
            raise raised("predict_error", error, features) from error

    def reject(
        self, input_name: InputName, record: Record, bad: DeadLetter, out: BatchResult
    ) -> None:
        """Send a record to the dead letters."""
        topic = self.source.events if input_name == "events" else self.source.labels
        out.dead_letters.append(outputs.dead_letter(self.source, topic or "", record, bad))
        out.count("dead_lettered", outputs.stage_of(bad), bad.reason)

    def advance(self, input_name: InputName, offset: int, out: BatchResult) -> None:
        """Account for an input up to and including an offset, and write what was announced."""
        out.positions[input_name] = offset + 1
        if self.announced:
            out.notes.extend(self.announced)
            self.announced.clear()


def predict_error(error: Exception, features: Features) -> DeadLetter:
    """Return the reason for a missing prediction, from the error that a learner raised."""
    return error if isinstance(error, DeadLetter) else raised("predict_error", error, features)
