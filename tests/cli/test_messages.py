"""Rows become events and labels as the settings map them."""

from datetime import date
from typing import Any

import orjson
import pytest

from millstream.errors import Stop
from millstream.sources.event_mapping import EventMapper, encode
from millstream.sources.label_mapping import LabelMapper, MappedLabel
from millstream.sources.readers import Row
from tests.cli.conftest import build, delayed, inline


def flat(label: Any = None, **fields: Any) -> Row:
    return Row(fields, label, flat=True)


def test_a_river_row_gets_a_running_number_and_its_label_inside() -> None:
    mapper = EventMapper(build(inline("a")))
    first, second = mapper.message(flat(label=True, x=1)), mapper.message(flat(label=False, x=2))
    assert first == (b"1", {"x": 1, "id": 1, "phishing": True}, None)
    assert second == (b"2", {"x": 2, "id": 2, "phishing": False}, None)


def test_columns_go_to_the_paths_that_end_with_their_name() -> None:
    message = EventMapper(build(delayed("a"))).message(
        flat(label=True, https=1, long_url=2, other=3)
    )
    event = {"page": {"https": 1}, "long_url": 2, "other": 3, "site": {"id": 1}}
    assert message == (b"1", event, {"site": 1, "verdict": {"phishing": True}})


def test_a_column_may_be_named_by_the_whole_path() -> None:
    columns = {"page.https": 1, "site.id": "x", "verdict.phishing": False, "new.path": 4}
    message = EventMapper(build(delayed("a"))).message(Row(columns, None, flat=True))
    assert message.event == {"page": {"https": 1}, "site": {"id": "x"}, "verdict": {}} | {
        "new": {"path": 4}
    }
    assert message.label == {"site": "x", "verdict": {"phishing": False}}
    assert message.key == b"x"


def test_a_delayed_label_never_stays_in_its_event() -> None:
    fields = {"site": {"id": 5}, "verdict": {"phishing": True}, "page": {"https": 1}}
    message = EventMapper(build(delayed("a"))).message(Row(fields, None, flat=False))
    assert "phishing" not in encode(message.event).decode()
    assert message.label == {"site": 5, "verdict": {"phishing": True}}


def test_an_event_without_a_label_is_sent_without_one() -> None:
    message = EventMapper(build(delayed("a"))).message(flat(https=1))
    assert message.label is None


def test_an_empty_cell_is_a_missing_field() -> None:
    message = EventMapper(build(inline("a"))).message(flat(x=None, id=3))
    assert message.event == {"id": 3}


def test_an_id_beyond_64_bits_becomes_text_and_a_feature_the_nearest_float() -> None:
    row = Row({"id": 2**70, "x": 2**70, "y": [{"z": -(2**70)}]}, None, flat=False)
    message = EventMapper(build(inline("a"))).message(row)
    assert message.key == str(2**70).encode()
    expected = {"id": str(2**70), "x": float(2**70), "y": [{"z": -float(2**70)}]}
    assert orjson.loads(encode(message.event)) == expected
    by_key = EventMapper(build(inline("a")), key="x").message(Row({"x": 2**70}, None, flat=False))
    assert by_key.key == str(2**70).encode()


@pytest.mark.parametrize("beside", [1, 2**70])
def test_a_record_nested_too_deep_to_be_written_is_one_sentence(beside: int) -> None:
    deep: Any = beside
    for _ in range(900):
        deep = [deep]
    with pytest.raises(Stop, match="nested deeper than 254 levels"):
        encode({"n": beside, "a": deep})


def test_running_numbers_begin_where_asked_and_count_every_record() -> None:
    mapper = EventMapper(build(inline("a")), first_id=101)
    ids = [mapper.message(flat(**fields)).event["id"] for fields in ({}, {"id": "x"}, {})]
    assert ids == [101, "x", 103]
    assert mapper.ids == (101, 103)


def test_columns_of_id_and_key_are_known() -> None:
    mapper = EventMapper(build(delayed("a")), key="page.https")
    columns = ("id", "site.id", "https", "long_url", "phishing")
    assert [mapper.is_id(column) for column in columns] == [True, True, True, False, False]


def test_another_field_can_be_the_key() -> None:
    mapper = EventMapper(build(inline("a")), key="region")
    assert mapper.message(flat(id=3, region="eu")).key == b"eu"
    with pytest.raises(Stop, match="record 2 has no value at region"):
        mapper.message(flat(id=4))


def test_a_path_through_a_value_is_one_sentence() -> None:
    with pytest.raises(Stop, match=r"cannot set page\.https"):
        EventMapper(build(delayed("a"))).message(flat(page=1, https=2))


@pytest.mark.parametrize(("unit", "expected"), [("s", 2), ("ms", 1500), ("ns", 1_500_000_000)])
def test_times_are_written_in_the_unit_of_the_settings(unit: str, expected: int) -> None:
    settings = delayed("a")
    settings["events"] |= {"timestamp": "at", "timestamp_unit": unit}
    settings["labels"] |= {"timestamp": "at", "timestamp_unit": unit}
    mapper = EventMapper(build(settings))
    message = mapper.message(flat(label=True, https=1))
    assert message.label is not None
    mapper.stamp(message, 1500)
    mapper.stamp_label(message.label, 1500)
    assert message.event["at"] == expected
    assert message.label["at"] == expected


def test_the_sources_own_time_stays() -> None:
    settings = inline("a")
    settings["events"] |= {"timestamp": "at"}
    mapper = EventMapper(build(settings))
    message = mapper.message(flat(at=5))
    mapper.stamp(message, 1500)
    assert message.event["at"] == 5


def test_dates_become_text() -> None:
    assert orjson.loads(encode({"day": date(2026, 1, 2)})) == {"day": "2026-01-02"}


def test_a_label_alone_keeps_its_own_fields_and_time() -> None:
    settings = delayed("a")
    settings["labels"] |= {"timestamp": "at"}
    mapper = LabelMapper(build(settings), key="region")
    row = Row({"site": 2**70, "verdict": {"phishing": 1}, "region": "eu"}, None, flat=False)
    message = mapper.message(row, 1500)
    assert message == MappedLabel(b"eu", {**row.fields, "site": str(2**70), "at": 1500})
    told = mapper.message(flat(site=3, phishing=True, region="eu", at=7), 1500)
    assert told is not None
    assert told.value == {"site": 3, "verdict": {"phishing": True}, "region": "eu", "at": 7}
    with pytest.raises(Stop, match="record 3 has no value at region"):
        mapper.message(flat(site=3, phishing=True), 1500)


def test_labels_alone_of_a_river_data_set_have_the_ids_of_its_events() -> None:
    rows = [Row({"https": n}, bool(n), flat=True) for n in range(2)]
    events, labels = EventMapper(build(delayed("a"))), LabelMapper(build(delayed("a")))
    for row in rows:
        event, label = events.message(row), labels.message(row, 0)
        assert label == MappedLabel(event.key, event.label or {})
