"""The events and labels that topics hold at present, for evaluations."""

from collections.abc import Iterator

from confluent_kafka.admin import AdminClient

from millstream.config.settings import Settings
from millstream.core.records.record import InputName, Record
from millstream.errors import SettingsError
from millstream.kafka.admin import describe
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import read_offset_range
from millstream.kafka.watermarks import Watermarks


class TopicSource:
    """Reads topics of events and of labels, which have equal partition counts."""

    def __init__(
        self, settings: Settings, admin: AdminClient, events: str, labels: str | None
    ) -> None:
        """`events`, `labels`: topics. Raises `SettingsError` if they are missing or unequal."""
        self._settings = settings
        self._bounds = Watermarks(reader_config(settings))
        self._topics: dict[InputName, str] = {"events": events}
        if labels is not None:
            self._topics["labels"] = labels
        known = describe(admin, self._topics.values(), configs=False)
        for topic in self._topics.values():
            if topic not in known:
                raise SettingsError(
                    f"there is no topic {topic}, and no file either: files end in .csv or .jsonl"
                )
        counts = {known[topic].partitions for topic in self._topics.values()}
        if len(counts) > 1:
            raise SettingsError(
                f"{events} has {known[events].partitions} partitions, and {labels} another number: "
                "events and labels belong together partition by partition"
            )
        (self.partitions,) = counts

    def read(self, input_name: InputName, partition: int) -> Iterator[Record]:
        """Yield the committed records of a partition up to its present end. Raises `Stop`."""
        topic = self._topics[input_name]
        start, end = self._bounds.patiently(topic, partition)
        for records in read_offset_range(self._settings, topic, partition, start, end):
            yield from records

    def sides(self) -> list[InputName]:
        """Return the inputs that have a topic."""
        return list(self._topics)
