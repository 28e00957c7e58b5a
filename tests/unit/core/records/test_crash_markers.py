"""What is known of a process that died, from the note that it left."""

import orjson
import pytest

from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.crash_markers import CrashMarker, RecordRef
from millstream.core.records.record import Output, Record

FIRST = CrashMarker(partition=0, incarnation="one", crashes=1, ends={"events": 64})
PLACE = RecordRef("events", 7)


def read(*outputs: Output) -> PartitionMetadata:
    notes = PartitionMetadata()
    for offset, output in enumerate(outputs):
        notes.add(Record(offset, 0, output.key, output.value, None))
    return notes


def test_a_note_that_still_stands_is_what_the_process_died_over() -> None:
    assert read(FIRST.note()).attempt == FIRST


def test_a_note_that_was_taken_back_blames_nothing() -> None:
    assert read(FIRST.note(), FIRST.survived().note()).attempt is None


def test_the_notes_of_a_partition_replace_each_other_in_a_compacted_topic() -> None:
    notes = [FIRST, FIRST.survived(), FIRST.at(PLACE, "two", {})]
    assert len({note.note().key for note in notes}) == 1


def test_crashes_over_one_record_add_up_and_those_over_different_ones_do_not() -> None:
    once = FIRST.at(PLACE, "two", {})
    twice = once.at(PLACE, "three", {})
    assert (once.crashes, twice.crashes) == (1, 2)
    assert twice.at(RecordRef("labels", 7), "four", {}).crashes == 1
    assert twice.at(RecordRef("events", 8), "four", {}).crashes == 1


@pytest.mark.parametrize("side", ["events", "labels", "examples"])
def test_a_quarantined_record_is_left_out_with_a_note_that_every_replay_reads(side: str) -> None:
    ((where, (bad, note)),) = FIRST.at(RecordRef(side, 7), "two", {}).quarantine().items()
    assert where == (side, 7)
    assert bad.reason == "quarantined"
    assert note is not None
    assert read(note).skips[where].reason == "quarantined"
    assert orjson.loads(note.value or b"")["side"] == side


def test_an_attempt_that_names_no_record_blames_none() -> None:
    with pytest.raises(ValueError, match="blames none"):
        FIRST.quarantine()
