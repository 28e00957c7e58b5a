"""Events and labels as they are read from bytes."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, SGDClassifier

from millstream.core.events import Event, EventReader
from millstream.core.labels import LabelReader
from millstream.core.models.build import wrap
from millstream.core.models.expression import build
from millstream.core.models.learner import Learner
from millstream.core.records import REASONS
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import DeadLetter

CLASSIFIER = "linear_model.LogisticRegression()"
MULTICLASS = "naive_bayes.GaussianNB()"
REGRESSOR = "linear_model.LinearRegression()"
BASE = {"id": 1, "a": 1.5, "b": 2, "label": True}


def river(model: str, classes: tuple[Any, ...] | None = None) -> Learner:
    spec = ModelSpec(river=model, classes=classes)
    return wrap(build(model), spec, labelled=True, feature_names=None)


def numeric() -> Learner:
    """A static scikit-learn model of two features."""
    model = LinearRegression().fit(np.array([[0.0, 1.0], [1.0, 0.0]]), [0.0, 1.0])
    return wrap(model, ModelSpec(factory="a:b"), labelled=False, feature_names=("a", "b"))


def reader(
    learner: Learner | str = CLASSIFIER,
    *,
    labels: dict[str, Any] | None = None,
    classes: tuple[Any, ...] | None = None,
    **events: Any,
) -> EventReader:
    one = river(learner, classes) if isinstance(learner, str) else learner
    spec = EventsSpec.model_validate({"topic": "events", "id": "id", "label": "label", **events})
    return EventReader(spec, LabelsSpec.model_validate({"from": "event", **(labels or {})}), one,
                       classes)  # fmt: skip


def read(with_reader: EventReader, document: Any) -> Event:
    return with_reader.read(orjson.dumps(document))


def reason(with_reader: EventReader | LabelReader, document: Any) -> str:
    with pytest.raises(DeadLetter) as caught:
        with_reader.read(orjson.dumps(document))
    assert caught.value.reason in REASONS
    return caught.value.reason


def test_listed_features_come_in_the_order_of_the_settings() -> None:
    event = read(reader(features=["b", "a"]), BASE)
    assert list(event.features.items()) == [("b", 2), ("a", 1.5)]
    assert (event.id, event.label, event.time, event.unknown) == (1, True, None, 0)


def test_all_features_come_in_the_order_of_the_event_and_nested_ones_by_their_path() -> None:
    event = read(reader(), {"z": 1, "id": 7, "x": {"c": {"d": 2}, "b": 3}, "label": 0, "a": True})
    assert list(event.features.items()) == [("z", 1), ("x.c.d", 2), ("x.b", 3), ("a", True)]
    assert event.label is False


def test_all_but_leaves_out_fields_and_whole_objects() -> None:
    one = reader(features={"all_but": ["meta", "x.c"]}, id="meta.id", timestamp="at")
    event = read(one, {"meta": {"id": 5, "y": 1}, "at": 9, "x": {"c": 1, "d": 2}, "label": 1})
    assert event.features == {"x.d": 2}
    assert (event.id, event.time) == (5, 9)


def test_nested_paths_lead_to_id_features_label_and_time() -> None:
    one = reader(features=["x.a", "b"], id="m.id", label="m.y", timestamp="m.t")
    event = read(one, {"m": {"id": "i", "y": 1, "t": 5}, "x": {"a": 1}, "b": 2, "c": 3})
    assert event == Event("i", {"x.a": 1, "b": 2}, label=True, time=5, unknown=1)
    assert reason(one, {"m": {"id": "i", "y": 1, "t": 5}, "x": 1}) == "missing_feature"
    assert reason(one, {"m": 1, "x": {"a": 1}, "b": 2}) == "id"


def test_objects_nested_too_deep_to_be_features_are_a_dead_letter() -> None:
    deep = b'{"id":1,"label":1,"x":' + b'{"x":' * 1_000 + b"1" + b"}" * 1_001
    with pytest.raises(DeadLetter, match="feature_type"):
        reader().read(deep)
    assert reader(features=["a"], missing="allow").read(deep[:-1] + b',"a":1}').features == {"a": 1}


def test_without_an_id_in_the_settings_there_is_none() -> None:
    assert read(reader(id=None, features=["a"]), BASE).id is None


def test_bounds_hold_both_ends_in() -> None:
    one = reader(features=["a", "b"], bounds={"a": [0, 2], "b": [None, 5]})
    for a, b in ((0.0, 5), (2, -1e99), (True, 5)):
        assert read(one, {**BASE, "a": a, "b": b}).features == {"a": a, "b": b}
    for a, b in ((-0.001, 1), (2.001, 1), (1, 5.5)):
        assert reason(one, {**BASE, "a": a, "b": b}) == "bounds"
    assert reason(one, {**BASE, "a": "1"}) == "feature_type"
    assert reason(reader(bounds={"a": [0, 1]}), BASE) == "bounds"


@pytest.mark.parametrize("policy", [None, "allow"])
def test_river_may_miss_features_but_not_all_of_them(policy: str | None) -> None:
    one = reader(features=["a", "b"], missing=policy)
    assert read(one, {**BASE, "a": None}).features == {"b": 2}
    assert read(one, {"id": 1, "a": 0, "label": 1}).features == {"a": 0}
    assert reason(one, {"id": 1, "label": 1}) == "missing_feature"
    assert read(reader(missing=policy), {**BASE, "a": None}).features == {"b": 2}


def test_missing_features_are_dead_letters_where_the_settings_say_so() -> None:
    for one in (reader(features=["a", "b"], missing="dead_letter"), reader(missing="dead_letter")):
        assert reason(one, {**BASE, "a": None}) == "missing_feature"


@pytest.mark.parametrize("policy", [None, "allow", "dead_letter"])
def test_scikit_learn_can_miss_nothing_and_takes_no_text(policy: str | None) -> None:
    one = reader(numeric(), features=["a", "b"], missing=policy)
    assert read(one, BASE).features == {"a": 1.5, "b": 2}
    assert reason(one, {"id": 1, "a": 1}) == "missing_feature"
    assert reason(one, {**BASE, "b": None}) == "missing_feature"
    assert reason(one, {**BASE, "b": "2"}) == "feature_type"


def test_text_is_a_feature_for_river_alone() -> None:
    assert read(reader(features=["a"]), {**BASE, "a": "red"}).features == {"a": "red"}


@pytest.mark.parametrize("value", [[], [1], {}, {"x": 1}])
def test_lists_and_objects_are_no_features(value: Any) -> None:
    assert reason(reader(features=["a"]), {**BASE, "a": value}) == "feature_type"


def test_numbers_near_the_limit_are_taken_however_many() -> None:
    names = [f"f{i}" for i in range(50)]
    large = dict.fromkeys(names, 1e100)
    assert read(reader(features=names), {**BASE, **large}).features == large
    assert reason(reader(features=names), {**BASE, **large, "f7": -1.1e100}) == "feature_value"


def test_unknown_fields_are_counted_or_refused_without_their_names() -> None:
    document = {**BASE, "canary": 1, "more": {"x": 2}}
    assert read(reader(features=["a", "b"]), document).unknown == 2
    with pytest.raises(DeadLetter) as caught:
        read(reader(features=["a", "b"], unknown="dead_letter"), document)
    assert caught.value.reason == "unknown_field"
    assert "canary" not in str(caught.value)
    assert read(reader(features=["a", "b"], unknown="dead_letter"), BASE).unknown == 0


@pytest.mark.parametrize(
    ("unit", "value", "milliseconds"),
    [
        ("s", 1, 1_000), ("s", 1.0005, 1_000), ("ms", 1, 1), ("us", 1_500_000, 1_500),
        ("ns", 1_767_225_600_123_456_789, 1_767_225_600_123), ("ms", 0, 0),
        ("ms", "1970-01-01T00:00:01Z", 1_000), ("s", "1970-01-01 00:00:01", 1_000),
        ("s", "1970-01-01T01:00:00.250+01:00", 250), ("ms", "20260101", 1_767_225_600_000),
        ("ms", "9999-12-31T23:59:59Z", 253_402_300_799_000),
    ],
)  # fmt: skip
def test_times_are_iso_8601_or_numbers_in_the_unit(
    unit: str, value: Any, milliseconds: int
) -> None:
    one = reader(features=["a"], timestamp="t", timestamp_unit=unit)
    time = read(one, {**BASE, "t": value}).time
    assert time == milliseconds
    assert type(time) is int


@pytest.mark.parametrize(
    "value",
    [None, True, [], {}, "", "soon", "1", -1, 1e300, 253_402_300_800_000, "1969-12-31",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-13-01", "2026-01-01T25:00"],
)  # fmt: skip
def test_what_is_no_time_is_a_dead_letter(value: Any) -> None:
    assert reason(reader(features=["a"], timestamp="t"), {**BASE, "t": value}) == "timestamp"


@pytest.mark.parametrize(
    ("model", "classes", "value", "label"),
    [
        (CLASSIFIER, None, True, True), (CLASSIFIER, None, 0, False), (CLASSIFIER, None, 1, True),
        (CLASSIFIER, None, 2, "label_type"), (CLASSIFIER, None, "yes", "label_type"),
        (CLASSIFIER, None, 1.0, "label_type"), (CLASSIFIER, (True, False), 1, True),
        (MULTICLASS, None, "a", "a"), (MULTICLASS, None, 3, 3), (MULTICLASS, None, True, True),
        (MULTICLASS, None, 1.5, "label_type"), (MULTICLASS, None, [1], "label_type"),
        (MULTICLASS, ("a", 1), "a", "a"), (MULTICLASS, ("a", 1), "b", "label_class"),
        (MULTICLASS, ("a", 1), True, "label_class"), (MULTICLASS, None, "x" * 1001, "label_type"),
        (REGRESSOR, None, 1, 1), (REGRESSOR, None, -2.5, -2.5),
        (REGRESSOR, None, True, "label_type"),
        (REGRESSOR, None, "1", "label_type"), (REGRESSOR, None, 1e101, "label_type"),
        (CLASSIFIER, None, None, "label_missing"), (REGRESSOR, None, None, "label_missing"),
    ],
)  # fmt: skip
def test_a_label_is_what_the_model_can_learn(
    model: str, classes: Any, value: Any, label: Any
) -> None:
    one = reader(model, classes=classes, features=["a"])
    if isinstance(label, str) and label in REASONS:
        assert reason(one, {**BASE, "label": value}) == label
    else:
        got = read(one, {**BASE, "label": value}).label
        assert got == label
        assert type(got) is type(label)


def test_labels_are_mapped_by_their_text() -> None:
    values = {"yes": True, "no": False, "true": False, "2": True, "": False}
    one = reader(features=["a"], labels={"values": values})
    for value, label in (("yes", True), ("no", False), (True, False), (2, True), (0, False)):
        assert read(one, {**BASE, "label": value}).label is label
    assert read(one, {**BASE, "label": ""}).label is False
    assert reason(one, {**BASE, "label": "maybe"}) == "label_type"
    nested = b'{"id":1,"a":1,"label":' + b"[" * 1_000 + b"]" * 1_000 + b"}"
    with pytest.raises(DeadLetter, match="label_type"):
        one.read(nested)


def test_an_event_without_its_label_may_be_for_prediction_alone() -> None:
    one = reader(features=["a"], labels={"missing": "predict"})
    assert read(one, {"id": 1, "a": 1}).label is None
    assert read(one, {"id": 1, "a": 1, "label": None}).label is None


def test_a_static_model_reads_no_labels() -> None:
    assert read(reader(numeric(), features=["a", "b"]), {**BASE, "label": "what"}).label is None


def test_a_broken_schema_rule_is_named_and_never_the_value() -> None:
    schema = {"properties": {"a": {"type": "number", "minimum": 0}}, "required": ["b"]}
    one = reader(features=["a"], schema=schema)
    assert read(one, BASE).features == {"a": 1.5}
    for document, rule in (
        ({**BASE, "a": "canary"}, "properties/a/type"),
        ({**BASE, "a": -77.125}, "properties/a/minimum"),
        ({"id": 1, "a": 1, "canary": 1}, "required"),
    ):
        with pytest.raises(DeadLetter) as caught:
            read(one, document)
        assert (caught.value.reason, caught.value.detail) == ("schema", rule)


def label_reader(learner: Learner | None = None, **labels: Any) -> LabelReader:
    events = EventsSpec(topic="events", id="key")
    spec = LabelsSpec.model_validate({"from": "topic", "topic": "labels", "wait": 1, **labels})
    return LabelReader(events, spec, learner or river(CLASSIFIER), None)


def test_a_label_message_has_paths_of_its_own_or_those_of_events() -> None:
    assert label_reader().read(b'{"key": "k", "label": 1}') == ("k", True, None)
    one = label_reader(id="m.id", label="m.y", timestamp="m.t", timestamp_unit="s")
    assert one.read(b'{"m": {"id": 5, "y": false, "t": 2}}') == (5, False, 2_000)
    assert reason(one, {"m": {"id": 5, "y": None, "t": 2}}) == "label_missing"
    assert reason(one, {"m": {"id": 5, "y": True}}) == "timestamp"
    assert reason(one, {"key": "k", "label": 1}) == "id"


def test_details_hold_nothing_of_the_payload() -> None:
    one = reader(features=["a", "b"], timestamp="t", bounds={"b": [0, 1]})
    for changes in ({"id": ["canary"]}, {"id": "canary" * 400}, {"t": "canary"}, {"a": ["canary"]},
                    {"b": "canary"}, {"b": 77_125}, {"label": "canary"}):  # fmt: skip
        with pytest.raises(DeadLetter) as caught:
            read(one, {**BASE, "b": 1, "t": 1, **changes})
        assert "canary" not in caught.value.detail
        assert "77" not in caught.value.detail


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
NAMES = st.sampled_from(["id", "a", "b", "label", "t"]) | st.text(max_size=3)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5)
)
EVENTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "a", "b", "label", "t"), DOCUMENTS | SCALARS)
)
SGD = wrap(SGDClassifier(), ModelSpec(factory="a:b", classes=("x", "y")), labelled=True,
           feature_names=("a", "b"))  # fmt: skip
READERS: list[EventReader | LabelReader] = [
    reader(features=["a", "b"], timestamp="t"),
    reader(features=["a.b", "b"], bounds={"b": [0, 1]}, labels={"values": {"1": True}}),
    reader(MULTICLASS, unknown="dead_letter"),
    reader(REGRESSOR, schema={"properties": {"a": {"type": "integer", "multipleOf": 3}}}),
    reader(SGD, classes=("x", "y"), features=["a", "b"]),
    label_reader(timestamp="t"),
    label_reader(river(REGRESSOR), id="id"),
]


def survives(value: bytes) -> None:
    for one in READERS:
        try:
            one.read(value)
        except DeadLetter as bad:
            assert bad.reason in REASONS  # noqa: PT017 - an event is as good


@given(st.binary())
def test_any_bytes_are_an_event_or_a_dead_letter(value: bytes) -> None:
    survives(value)


@given(DOCUMENTS | EVENTS)
def test_any_json_is_an_event_or_a_dead_letter(document: Any) -> None:
    survives(orjson.dumps(document))


@given(st.text(alphabet="0123456789-+:.TZW \u0661é", max_size=30))
def test_any_text_is_a_time_or_a_dead_letter(text: str) -> None:
    survives(orjson.dumps({**BASE, "key": 1, "t": text}))
