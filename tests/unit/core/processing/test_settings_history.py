"""What the models topic says of the settings a log was worked off under."""

import orjson
import pytest

from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import Output, Record
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import Stop

EVENTS = EventsSpec(topic="events", label="label")
MODEL = ModelSpec(river="linear_model.Perceptron()")


def labels(**values: object) -> LabelsSpec:
    return LabelsSpec.model_validate({"from": "event", "values": values})


def settings_versions(
    notes: PartitionMetadata, spec: LabelsSpec, position: int
) -> tuple[list[int], list[Output]]:
    found, new = notes.settings_versions(
        EVENTS, spec, MODEL, partition=0, position=position, version="v", app="app"
    )
    return [era.start for era in found], new


def noted(*outputs: Output) -> PartitionMetadata:
    notes = PartitionMetadata()
    for offset, output in enumerate(outputs):
        notes.add(Record(offset, 0, output.key, output.value, None))
    return notes


def test_equal_settings_go_on_and_changed_ones_begin_an_era() -> None:
    starts, first = settings_versions(PartitionMetadata(), labels(yes=1), 5)
    assert (starts, len(first)) == ([5], 1)
    assert settings_versions(noted(*first), labels(yes=1), 9) == ([5], [])
    assert settings_versions(noted(*first), labels(yes=0), 9)[0] == [5, 9]


def test_a_label_of_1_is_not_a_label_of_true() -> None:
    _, first = settings_versions(PartitionMetadata(), labels(yes=1), 5)
    assert settings_versions(noted(*first), labels(yes=True), 9)[0] == [5, 9]


@pytest.mark.parametrize("value", [b"junk", b"[]", b"{}", b'{"kind": "settings"}'])
def test_a_record_that_is_no_note_stops_with_a_sentence(value: bytes) -> None:
    with pytest.raises(Stop, match="cannot read"):
        PartitionMetadata().add(Record(3, 0, None, value, None))


def test_a_note_of_a_newer_version_stops_with_a_sentence() -> None:
    _, (note,) = settings_versions(PartitionMetadata(), labels(yes=1), 5)
    document = orjson.loads(note.value or b"")
    document["settings"]["events"]["invented_later"] = 1
    newer = noted(Output(note.key, orjson.dumps(document), None))
    with pytest.raises(Stop, match="newer Millstream"):
        settings_versions(newer, labels(yes=1), 9)
