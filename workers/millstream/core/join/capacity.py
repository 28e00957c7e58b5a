"""The policy when no more predictions or early labels may wait."""

from millstream.core.formats.labels import LabelMessage
from millstream.core.join.join import LabelJoin
from millstream.core.join.merge import BufferedRecord
from millstream.core.records.event import Event
from millstream.core.records.record import InputName
from millstream.core.spec import LabelsSpec
from millstream.errors import Stop


class CapacityPolicy:
    """`labels.at_max`: stop, or let the first deadline come early."""

    def __init__(self, labels: LabelsSpec, partition: int) -> None:
        self.stops = labels.at_max == "stop"
        self._labels = labels
        self._partition = partition

    def needs_room(self, item: BufferedRecord[object], join: LabelJoin) -> bool:
        """Whether this record would be one too many that waits."""
        content = item.content
        if isinstance(content, Event) and content.id is not None and join.full():
            return str(content.id) not in join.early and not join.is_repeat(content.id, item.time)
        if isinstance(content, LabelMessage) and join.early_full():
            joins = str(content.id) in join.store
            return not joins and join.unmatched_as(content.id, item.time) is None
        return False

    def stop(self, input_name: InputName) -> Stop:
        """Return the error for one more record of this input."""
        labels = self._labels
        if input_name == "events":
            what = (
                f"{labels.max_waiting:,} predictions of partition {self._partition} wait for "
                f"their labels, and labels.max_waiting allows no more: do labels still come on "
                f"topic {labels.topic}?"
            )
        else:
            what = (
                f"{labels.max_waiting:,} labels of partition {self._partition} are held for events "
                f"that have not come, and labels.max_waiting allows no more: do the labels of "
                f"topic {labels.topic} carry the ids of the events?"
            )
        return Stop(
            f"{what} To go on, raise labels.max_waiting (waiting.store: disk has room for tens of "
            "millions), or set labels.at_max to expire_oldest, which gives up on those whose wait "
            "ends first"
        )
