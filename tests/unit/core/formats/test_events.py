"""What a reader makes of an event: id, features, time, unknown fields."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from millstream.core.formats.events import EventReader
from millstream.core.formats.features import MAX_DEPTH, MAX_MAGNITUDE
from millstream.core.formats.json_fields import MAX_TIME_MS
from millstream.core.records.event import Event
from millstream.errors import DeadLetter
from tests.support.bad_messages import nested
from tests.support.readers import MULTICLASS, SKLEARN, Traits, event_reader


def read(reader: EventReader, **fields: Any) -> Event:
    """Read an event of these fields, with id 1 unless one is given."""
    return reader.read(orjson.dumps({"id": 1, **fields}))


def refused(reader: EventReader, **fields: Any) -> DeadLetter:
    with pytest.raises(DeadLetter) as bad:
        read(reader, **fields)
    return bad.value


def test_listed_features_come_in_the_order_of_the_settings() -> None:
    event = read(event_reader(features=["b", "c.d", "a"]), a=1, c={"d": 2}, b=3)
    assert list(event.features.items()) == [("b", 3), ("c.d", 2), ("a", 1)]


def test_all_fields_come_in_the_order_of_the_event_with_nested_ones_dotted() -> None:
    event = read(event_reader(features="all"), z=1, a={"y": 2, "b": {"c": "text"}}, m=True)
    assert list(event.features.items()) == [("z", 1), ("a.y", 2), ("a.b.c", "text"), ("m", True)]


def test_id_label_and_timestamp_are_no_features_wherever_they_are() -> None:
    reader = event_reader(
        features="all", id="meta.id", timestamp="meta.at", label="truth.y", labels={"from": "event"}
    )
    event = read(reader, meta={"id": "x", "at": 5, "host": "h"}, truth={"y": 1}, a=2)
    assert event == Event("x", {"id": 1, "meta.host": "h", "a": 2}, True, 5, 0)


def test_all_but_leaves_out_fields_and_whole_objects() -> None:
    reader = event_reader(features={"all_but": ["a.b", "meta"]})
    assert read(reader, a={"b": 1, "c": 2}, meta={"x": 1}, z=3).features == {"a.c": 2, "z": 3}


def test_a_field_of_another_side_with_the_same_beginning_is_kept() -> None:
    assert read(event_reader(features={"all_but": ["a"]}), ab=1, a=2).features == {"ab": 1}


def test_without_a_path_for_the_id_there_is_none() -> None:
    reader = event_reader(id=None, features=["a"])
    assert reader.read(b'{"a":1}') == Event(None, {"a": 1}, None, None, 0)


def test_labels_that_come_elsewhere_are_not_read() -> None:
    labels = {"from": "topic", "topic": "labels", "wait": 1}
    assert read(event_reader(features=["a"], labels=labels), a=1, label="x").label is None


def test_a_missing_or_null_feature_is_left_out_for_river() -> None:
    reader = event_reader(features=["a", "b.c", "d"])
    assert read(reader, a=1, b={"c": None}).features == {"a": 1}
    assert read(reader, a="text", b="no object", d=2).features == {"a": "text", "d": 2}


def test_nested_paths_lead_to_id_features_label_and_time() -> None:
    reader = event_reader(features=["x.a", "b"], id="m.id", label="m.y", timestamp="m.t")
    event = read(reader, m={"id": "i", "y": 1, "t": 5}, x={"a": 1}, b=2, c=3)
    assert event == Event("i", {"x.a": 1, "b": 2}, True, 5, 2)
    assert refused(reader, m=1, x={"a": 1}, b=2).reason == "id"


def test_a_missing_feature_is_a_dead_letter_for_river_where_the_settings_say_so() -> None:
    for features in (["a", "b"], "all"):
        reader = event_reader(features=features, missing="dead_letter")
        assert refused(reader, a=None, b=2).reason == "missing_feature"
        allowing = event_reader(features=features, missing="allow")
        assert read(allowing, id="x", a=None, b=2).features == {"b": 2}


@pytest.mark.parametrize("features", [["a", "b"], ["a.x", "b.y"], "all"])
def test_an_event_without_any_feature_is_refused(features: Any) -> None:
    reader = event_reader(features=features)
    assert refused(reader).reason == "missing_feature"
    assert refused(reader, a=None).reason == "missing_feature"
    assert refused(reader, a={}).reason in {"missing_feature", "feature_type"}


@pytest.mark.parametrize("missing", [None, "dead_letter", "allow"])
def test_scikit_learn_gets_every_feature_or_none_whatever_the_settings_say(missing: Any) -> None:
    reader = event_reader(SKLEARN, features=["a", "b"], missing=missing)
    assert refused(reader, a=1).reason == "missing_feature"
    assert refused(reader, a=1, b=None).detail == "b is missing or null"


def test_scikit_learn_picks_what_it_was_fitted_on_from_all_fields() -> None:
    event = read(event_reader(SKLEARN, features="all"), x="ignored", b=2, a=1)
    assert list(event.features.items()) == [("a", 1), ("b", 2)]


def test_scikit_learn_takes_no_text() -> None:
    assert refused(event_reader(SKLEARN, features=["a", "b"]), a=1, b="2").reason == "feature_type"


def test_river_takes_text_numbers_and_booleans_alike() -> None:
    fields = {"a": "text", "b": 1, "c": 1.5, "d": True, "e": ""}
    event = read(event_reader(features=list(fields)), **fields)
    assert event.features == fields
    assert [type(value) for value in event.features.values()] == [str, int, float, bool, str]


@pytest.mark.parametrize("features", [["a", "b"], "all", ["a", "b", "c.d"]])
@pytest.mark.parametrize("value", [MAX_MAGNITUDE * 1.01, -MAX_MAGNITUDE * 1.01, 1e308])
def test_a_number_too_large_to_square_is_refused(features: Any, value: float) -> None:
    reader = event_reader(features=features)
    assert refused(reader, a=1, b=value).reason == "feature_value"
    assert refused(reader, a="text", b=value).reason == "feature_value"


def test_the_limit_is_of_each_number_and_not_of_them_together() -> None:
    names = [f"x{i}" for i in range(50)]
    fields = dict.fromkeys(names, MAX_MAGNITUDE)
    assert read(event_reader(features=names), **fields).features == fields
    assert read(event_reader(features="all"), **fields).features == fields


def test_numbers_that_cancel_out_are_looked_at_one_by_one() -> None:
    assert refused(event_reader(features=["a", "b"]), a=1e200, b=-1e200).reason == "feature_value"


@pytest.mark.parametrize("features", [["a", "b"], "all"])
def test_a_list_is_no_feature(features: Any) -> None:
    assert refused(event_reader(features=features), a=1, b=[1]).reason == "feature_type"


def test_an_object_where_a_feature_is_listed_is_refused() -> None:
    assert refused(event_reader(features=["a"]), a={"b": 1}).reason == "feature_type"


def test_a_field_of_all_is_not_looked_for_in_bottomless_objects() -> None:
    reader = event_reader(features="all")
    deep = f'{{"id":1,"a":{nested(MAX_DEPTH)}}}'.encode()
    assert len(reader.read(deep).features) == 1
    deeper = f'{{"id":1,"a":{nested(MAX_DEPTH + 1)}}}'.encode()
    with pytest.raises(DeadLetter, match="feature_type"):
        reader.read(deeper)
    assert event_reader(features=["id"]).read(deeper).features == {"id": 1}


@pytest.mark.parametrize(
    ("bounds", "good", "bad"),
    [
        ([0, 10], [0, 10, 5.5, True], [-0.001, 10.001, 1e9]),
        ([None, 10], [-1e99, 10], [11]),
        ([0, None], [0, 1e99], [-1]),
    ],
)
@pytest.mark.parametrize("features", [["a", "b"], "all"])
def test_bounds_include_both_ends(
    features: Any, bounds: list[float | None], good: list[float], bad: list[float]
) -> None:
    reader = event_reader(features=features, bounds={"a": bounds})
    for value in good:
        assert read(reader, a=value, b=-99).features["a"] == value
    for value in bad:
        assert refused(reader, a=value, b=-99).reason == "bounds"
    assert refused(reader, a="5", b=1).reason == "feature_type"
    assert read(reader, b=1).features == {"b": 1}


def test_unknown_fields_are_counted() -> None:
    reader = event_reader(features=["a", "b.c"], timestamp="at", label="y")
    assert read(reader, a=1, b={"c": 2}, at=3, y=True).unknown == 0
    assert read(reader, a=1, b={"c": 2}, at=3, y=True, x=None, z={}).unknown == 2
    assert read(reader, a=1, at=3, y=True, z=1).unknown == 1


def test_unknown_fields_are_refused_where_the_settings_say_so() -> None:
    reader = event_reader(features=["a"], unknown="dead_letter")
    assert read(reader, a=1).unknown == 0
    bad = refused(reader, a=1, surprise=2)
    assert bad.reason == "unknown_field"
    assert "surprise" not in bad.detail


@pytest.mark.parametrize(
    ("unit", "value", "milliseconds"),
    [
        ("s", 1_767_225_600, 1_767_225_600_000),
        ("s", 1_767_225_600.25, 1_767_225_600_250),
        ("ms", 1_767_225_600_000, 1_767_225_600_000),
        ("us", 1_767_225_600_000_000, 1_767_225_600_000),
        ("ns", 1_767_225_600_000_000_000, 1_767_225_600_000),
        ("ms", 0, 0),
        ("s", "2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("ms", "2026-01-01T00:00:00.123456+00:00", 1_767_225_600_123),
        ("ms", "2026-01-01T02:30:00+02:30", 1_767_225_600_000),
        ("ms", "2026-01-01", 1_767_225_600_000),
        ("ms", "2026-01-01 00:00:00", 1_767_225_600_000),
        ("ms", "20260101T000000Z", 1_767_225_600_000),
        ("s", 1.0005, 1_000),
        ("ns", 1_767_225_600_123_456_789, 1_767_225_600_123),
        ("s", "1970-01-01T01:00:00.250+01:00", 250),
        ("ms", "9999-12-31T23:59:59Z", 253_402_300_799_000),
    ],
)
def test_a_time_is_whole_milliseconds_whatever_its_form(
    unit: str, value: Any, milliseconds: int
) -> None:
    time = read(
        event_reader(features=["a"], timestamp="at", timestamp_unit=unit), a=1, at=value
    ).time
    assert time == milliseconds
    assert type(time) is int


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "soon", "1", "2026-13-01", "2026-01-01T25:00", "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", -1, MAX_TIME_MS, 1e308, [], {},
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_refused(value: Any) -> None:
    reader = event_reader(features=["a"], timestamp="meta.at")
    assert refused(reader, a=1, meta={"at": value}).reason == "timestamp"
    assert refused(reader, a=1, meta=value).reason == "timestamp"


def test_a_broken_schema_rule_is_named_and_the_value_is_not() -> None:
    schema = {"properties": {"a": {"type": "number", "minimum": -5}}, "required": ["c"]}
    reader = event_reader(features=["a"], schema=schema)
    assert read(reader, a=1, c=2).features == {"a": 1}
    bad = refused(reader, a="canary", c=2)
    assert (bad.reason, bad.detail) == ("schema", "properties/a/type")
    assert refused(reader, a=1).detail == "required"
    assert refused(reader, a=-77.125, c=2).detail == "properties/a/minimum"


@pytest.mark.parametrize(("schema", "good"), [(True, True), (False, False)])
def test_a_schema_may_be_a_boolean(schema: bool, good: bool) -> None:
    reader = event_reader(features=["a"], schema=schema)
    if good:
        assert read(reader, a=1).id == 1
    else:
        assert refused(reader, a=1).reason == "schema"


def test_a_document_too_deep_for_the_schema_is_a_dead_letter() -> None:
    reader = event_reader(features=["a"], schema={"additionalProperties": {"type": "integer"}})
    with pytest.raises(DeadLetter, match="schema"):
        reader.read(b'{"id":1,"a":1,"z":' + nested(1000).encode() + b"}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objct"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "other.json"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///dev/null"},
        {"$schema": "http://127.0.0.1:1/schema.json"},
    ],
)
def test_a_schema_that_is_wrong_or_has_to_be_fetched_is_refused_in_a_line(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        event_reader(features=["a"], schema=schema)


def test_a_schema_is_not_fetched_even_where_it_could_be(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("true")
    with pytest.raises(ValueError, match="is not fetched"):
        event_reader(features=["a"], schema={"$ref": other.as_uri()})


def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = event_reader(features=["a"], timestamp="at")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        found = read(reader, a=1, at="2026-01-01T00:00:00").time
    time.tzset()
    assert found == 1_767_225_600_000


def test_a_repeated_key_counts_by_its_last_value() -> None:
    reader = event_reader(features=["a"], label="y")
    event = reader.read(b'{"id":1,"a":1,"y":false,"a":2,"id":"x","y":true}')
    assert event == Event("x", {"a": 2}, True, None, 0)


def test_a_learner_that_does_not_learn_needs_no_label_but_never_sees_one() -> None:
    still = Traits(learns=False)
    assert read(event_reader(still, features="all", label="y"), a=1, y=[]).features == {"a": 1}
    assert read(event_reader(still, features="all", label="y"), a=1).label is None


def test_an_event_without_its_label_may_be_predicted_all_the_same() -> None:
    labels = {"from": "event", "missing": "predict"}
    reader = event_reader(MULTICLASS, features=["a"], label="y", labels=labels)
    assert read(reader, a=1).label is None
    assert read(reader, a=1, y=None).label is None
    assert read(reader, a=1, y="x").label == "x"
    assert refused(reader, a=1, y=[]).reason == "label_type"
