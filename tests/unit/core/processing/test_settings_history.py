"""The history of settings in the models topic."""

import orjson
import pytest

from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import Output, Record
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec, deciding
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
    return [each.start for each in found], new


def noted(*outputs: Output) -> PartitionMetadata:
    notes = PartitionMetadata()
    for offset, output in enumerate(outputs):
        notes.add(Record(offset, 0, output.key, output.value, None))
    return notes


def test_equal_settings_continue_and_changed_ones_begin_a_version() -> None:
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


FULL_NOTE = {
    "events": {
        "topic": "events", "codec": None, "id": None, "features": "all", "timestamp": None,
        "timestamp_unit": "ms", "label": "label", "schema": None, "bounds": {}, "missing": None,
        "unknown": "ignore", "start": "earliest",
    },
    "labels": {
        "from": "event", "topic": None, "codec": None, "id": None, "label": None,
        "timestamp": None, "timestamp_unit": "ms", "wait": None, "on_timeout": "drop",
        "learn_from": "raw", "max_idle": 0, "max_waiting": 1_000_000, "at_max": "stop",
        "values": {"yes": 1}, "missing": "dead_letter",
    },
    "model": {
        "name": None, "river": "linear_model.Perceptron()", "factory": None, "sklearn": None,
        "weights": None, "learn": True, "classes": None,
    },
}  # fmt: skip
"""As notes were first written, with all defaults in them. These can never change: settings that are
left out of a note would mean something else. A new setting is not added here."""


def with_settings(settings: object) -> PartitionMetadata:
    _, (note,) = settings_versions(PartitionMetadata(), labels(yes=1), 5)
    document = {**orjson.loads(note.value or b""), "settings": settings}
    return noted(Output(note.key, orjson.dumps(document), None))


def test_a_note_leaves_out_settings_at_their_defaults() -> None:
    assert deciding(EVENTS, labels(yes=1), MODEL) == {
        "events": {"topic": "events", "label": "label"},
        "labels": {"from": "event", "values": {"yes": 1}},
        "model": {"river": "linear_model.Perceptron()"},
    }


def test_a_note_with_all_defaults_in_it_equals_todays_settings() -> None:
    assert settings_versions(with_settings(FULL_NOTE), labels(yes=1), 9) == ([5], [])
    assert settings_versions(with_settings(FULL_NOTE), labels(yes=2), 9)[0] == [5, 9]


def test_a_new_setting_at_its_default_changes_nothing() -> None:
    today = deciding(EVENTS, labels(yes=1), MODEL)
    for section, fields in FULL_NOTE.items():
        for name in set(fields) - set(today[section]):
            before = {key: value for key, value in fields.items() if key != name}
            notes = with_settings({**FULL_NOTE, section: before})
            assert settings_versions(notes, labels(yes=1), 9) == ([5], [])


def test_the_defaults_of_settings_that_decide_results_are_those_of_ever() -> None:
    specs = {"events": EVENTS, "labels": labels(yes=1), "model": MODEL}
    for section, fields in FULL_NOTE.items():
        dumped = specs[section].model_dump(mode="json", by_alias=True)
        assert {name: dumped[name] for name in fields} == fields
