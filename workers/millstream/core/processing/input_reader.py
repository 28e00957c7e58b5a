"""Reads the records of events and labels for the merge."""

from millstream.core.formats.labels import LabelMessage, LabelReader
from millstream.core.join.merge import BufferedRecord, OrderTimes
from millstream.core.processing.config import ProcessorConfig
from millstream.core.processing.partition_model import PartitionModel
from millstream.core.records.event import Event
from millstream.core.records.record import UNREADABLE_HEADERS, InputName, Record
from millstream.errors import DeadLetter


class InputReader:
    """Decodes both inputs under the latest settings and gives each record its time."""

    def __init__(self, config: ProcessorConfig, model: PartitionModel) -> None:
        version = config.settings_versions[-1]
        self._model = model
        self._label_reader = LabelReader(
            version.events, version.labels, model.learner, config.model.classes, config.codecs
        )
        self._order_times = OrderTimes(
            events=version.events.timestamp is not None,
            labels=version.labels.timestamp is not None,
        )

    def read(self, input_name: InputName, record: Record, now: int) -> BufferedRecord[object]:
        """Return a record with its content, or with the reason why it cannot be read."""
        content: Event | LabelMessage | DeadLetter | None
        if self._model.before is not None:
            self._model.before(input_name, record.offset)
        try:
            is_event = input_name == "events"
            content = self._model.read(record) if is_event else self._read_label(record)
        except DeadLetter as bad:
            content = bad
        readable = isinstance(content, Event | LabelMessage)
        mapped = content.time if isinstance(content, Event | LabelMessage) else None
        return self._order_times.buffered(
            input_name, record, content, mapped, now, readable=readable
        )

    def _read_label(self, record: Record) -> LabelMessage | None:
        if ("labels", record.offset) in self._model.skips:
            raise self._model.skips["labels", record.offset]
        if record.headers is UNREADABLE_HEADERS:
            raise DeadLetter("headers", "a header's name is not UTF-8")
        return None if record.value is None else self._label_reader.read(record.value)
