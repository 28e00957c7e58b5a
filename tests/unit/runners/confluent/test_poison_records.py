"""When a worker puts a death down to a record: without a broker, note by note."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from millstream.core.records.crash_markers import CrashMarker, RecordRef
from millstream.core.records.record import Output
from millstream.kafka.producer import ConfirmedWriter, NotWritten
from millstream.runners.confluent.poison_records import PoisonRecordDetector
from millstream.state.partition import Partition
from millstream.state.restore_steps import NOTHING_RESTORED, Skips
from tests.support.partitions import running

FOUND = CrashMarker(partition=0, incarnation="dead", crashes=1, ends={"events": 64})
PLACE = RecordRef("events", 7)


class Notes:
    """The models topic, as far as it is needed."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.away = False

    def write(self, _partition: int, outputs: Iterable[Output]) -> None:
        if self.away:
            raise NotWritten("no broker")
        self.written += [orjson.loads(output.value or b"") for output in outputs]


class AnyShard:
    """What a quarantine knows of a shard."""

    before: Any = None


class Scene:
    """A quarantine, and what it asked for."""

    def __init__(self, most: int | None = 3) -> None:
        self.notes = Notes()
        self.restarts: list[Skips] = []
        self.quarantine = PoisonRecordDetector(
            most, cast("ConfirmedWriter", self.notes), self._restart
        )

    def _restart(self, _partition: Partition, skips: Skips) -> None:
        self.restarts.append(skips)

    def restored(self, found: CrashMarker | None, position: int = 0, number: int = 0) -> Partition:
        """A partition that was restored, and looked at."""
        at = NOTHING_RESTORED
        origin = replace(at, crash_marker=found)
        return running(number, AnyShard(), {"events": position}, origin)

    def touch(self, partition: Partition, offset: int) -> None:
        """Work on an event."""
        processor = partition.processor
        if processor is not None and processor.before is not None:
            processor.before("events", offset)


def test_without_a_death_one_note_names_no_record_and_is_taken_back() -> None:
    scene = Scene()
    partition = scene.restored(None)
    assert not scene.quarantine.before_work([partition])
    for offset in range(5):
        scene.touch(partition, offset)
    scene.quarantine.after_work()
    assert [note["crashes"] for note in scene.notes.written] == [1, 0]
    assert all("offset" not in note for note in scene.notes.written)


def test_after_a_death_each_record_is_named_before_it_is_touched() -> None:
    scene = Scene()
    partition = scene.restored(FOUND)
    assert scene.quarantine.before_work([partition])
    for offset in range(3):
        scene.touch(partition, offset)
    assert [note["offset"] for note in scene.notes.written] == [0, 1, 2]


def test_a_partition_that_lived_is_taken_back_before_another_one_is_worked_off() -> None:
    scene = Scene()
    partition = scene.restored(FOUND)
    scene.quarantine.before_work([partition])
    scene.touch(partition, 7)
    scene.quarantine.worked(partition)
    assert [note["crashes"] for note in scene.notes.written] == [1, 0]


def test_a_record_is_left_out_once_so_many_have_died_over_it() -> None:
    twice = FOUND.at(PLACE, "a", {}).at(PLACE, "b", {})
    for found, expected in ((twice, []), (twice.at(PLACE, "c", {}), [PLACE])):
        scene = Scene()
        scene.quarantine.before_work([scene.restored(found)])
        assert [place for skips in scene.restarts for place in skips] == expected


def test_a_record_below_the_committed_offset_was_survived() -> None:
    thrice = FOUND.at(PLACE, "a", {}).at(PLACE, "b", {}).at(PLACE, "c", {})
    scene = Scene()
    scene.quarantine.before_work([scene.restored(thrice, position=8)])
    assert scene.restarts == []


def test_a_record_that_is_left_out_already_is_restored_without_only_once() -> None:
    thrice = FOUND.at(PLACE, "a", {}).at(PLACE, "b", {}).at(PLACE, "c", {})
    scene = Scene()
    partition = scene.restored(thrice)
    partition.skips = thrice.quarantine()
    scene.quarantine.before_work([partition])
    assert scene.restarts == []


def test_a_note_of_this_process_itself_is_no_death() -> None:
    scene = Scene()
    partition = scene.restored(None)
    scene.quarantine.before_work([partition])
    scene.touch(partition, 0)
    own = CrashMarker.model_validate(scene.notes.written[-1])
    assert not scene.quarantine.before_work([scene.restored(own)])


def test_a_broker_that_is_away_holds_no_batch_up_record_by_record() -> None:
    scene = Scene()
    partition = scene.restored(FOUND)
    scene.quarantine.before_work([partition])
    scene.notes.away = True
    scene.touch(partition, 0)
    scene.notes.away = False
    scene.touch(partition, 1)
    assert scene.notes.written == []


@pytest.mark.parametrize("found", [None, FOUND])
def test_nothing_is_noted_where_the_settings_say_never(found: CrashMarker | None) -> None:
    scene = Scene(most=None)
    partition = scene.restored(found)
    assert not scene.quarantine.before_work([partition])
    scene.touch(partition, 0)
    assert scene.notes.written == []
