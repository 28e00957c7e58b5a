"""What a reader makes of a label, inside an event or on a topic of its own."""

from typing import Any

import orjson
import pytest

from millstream.core.formats.labels import LabelMessage
from millstream.errors import DeadLetter
from tests.support.readers import (
    BINARY,
    MULTICLASS,
    REGRESSOR,
    Traits,
    event_reader,
    label_reader,
)

TYPE, CLASS = "label_type", "label_class"


def learned(
    learner: Traits,
    value: Any,
    classes: tuple[Any, ...] | None = None,
    values: dict[str, Any] | None = None,
) -> Any:
    """What a label becomes, or the reason why it cannot; the same inside events and outside."""
    message = orjson.dumps({"id": 1, "a": 1, "label": value})
    inline = {"from": "event", "values": values or {}}
    readers = (
        event_reader(learner, features=["a"], label="label", labels=inline, classes=classes),
        label_reader(learner, classes=classes, values=values or {}),
    )
    found = []
    for reader in readers:
        try:
            found.append(reader.read(message).label)
        except DeadLetter as bad:
            found.append(bad.reason)
    assert found[0] == found[1]
    assert type(found[0]) is type(found[1])
    return found[0]


@pytest.mark.parametrize(
    ("learner", "value", "expected"),
    [
        (BINARY, True, True),
        (BINARY, False, False),
        (BINARY, 1, True),
        (BINARY, 0, False),
        (BINARY, 2, TYPE),
        (BINARY, 1.0, TYPE),
        (BINARY, "true", TYPE),
        (BINARY, [True], TYPE),
        (MULTICLASS, "x", "x"),
        (MULTICLASS, 3, 3),
        (MULTICLASS, True, True),
        (MULTICLASS, 1.0, TYPE),
        (MULTICLASS, {}, TYPE),
        (MULTICLASS, "x" * 1001, TYPE),
        (REGRESSOR, 1.5, 1.5),
        (REGRESSOR, -3, -3),
        (REGRESSOR, True, TYPE),
        (REGRESSOR, "1.5", TYPE),
        (REGRESSOR, 1e100, 1e100),
        (REGRESSOR, 1.1e100, TYPE),
        (REGRESSOR, -1e308, TYPE),
        (Traits("anomaly"), 1.5, 1.5),
        (Traits("anomaly"), "x", TYPE),
    ],
)
def test_what_a_model_can_learn_is_its_kinds_to_say(
    learner: Traits, value: Any, expected: Any
) -> None:
    found = learned(learner, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("classes", "value", "expected"),
    [
        (("low", "high"), "low", "low"),
        (("low", "high"), "medium", CLASS),
        ((0, 1), 1, 1),
        ((0, 1), True, CLASS),
        ((False, True), 1, CLASS),
        ((False, True), True, True),
        ((1.0, 2.0), 1, CLASS),
    ],
)
def test_a_label_is_one_of_the_classes_by_type_and_value(
    classes: tuple[Any, ...], value: Any, expected: Any
) -> None:
    found = learned(MULTICLASS, value, classes)
    assert found == expected
    assert type(found) is type(expected)


def test_a_binary_label_of_1_is_the_class_true() -> None:
    assert learned(BINARY, 1, (False, True)) is True
    assert learned(BINARY, 0, (True,)) == CLASS


@pytest.mark.parametrize("value", [0, 1, False, True])
def test_classes_of_a_binary_model_may_be_written_0_and_1(value: Any) -> None:
    assert learned(BINARY, value, (0, 1)) is bool(value)
    assert learned(BINARY, value, (0,)) == (CLASS if value else False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("yes", True),
        ("no", False),
        ("maybe", TYPE),
        (1, False),
        (2, True),
        (0, False),
        (True, False),
        (2.5, True),
        ([], TYPE),
        ({}, TYPE),
        ("", True),
    ],
)
def test_a_label_is_mapped_by_its_text_before_anything_else(value: Any, expected: Any) -> None:
    values = {"yes": True, "no": False, "1": False, "2": True, "true": False, "2.5": True, "": True}
    assert learned(BINARY, value, None, values) == expected


def test_what_a_label_is_mapped_to_has_to_fit_as_well() -> None:
    assert learned(MULTICLASS, "1", ("one",), {"1": "one"}) == "one"
    assert learned(MULTICLASS, "2", ("one",), {"2": "two"}) == CLASS
    assert learned(REGRESSOR, "high", None, {"high": 10}) == 10
    assert learned(REGRESSOR, "high", None, {"high": "ten"}) == TYPE


@pytest.mark.parametrize("learner", [BINARY, MULTICLASS, REGRESSOR])
def test_null_is_no_label(learner: Traits) -> None:
    assert learned(learner, None) == "label_missing"


@pytest.mark.parametrize("value", [b'{"id":1}', b'{"id":1,"label":null}', b'{"id":1,"x":true}'])
def test_a_label_message_without_a_label_says_nothing(value: bytes) -> None:
    with pytest.raises(DeadLetter, match="label_missing"):
        label_reader().read(value)


def test_a_label_message_is_read_by_its_own_paths() -> None:
    reader = label_reader(
        id="case.number", label="verdict.fraud", timestamp="at", timestamp_unit="s"
    )
    message = {"case": {"number": "x"}, "verdict": {"fraud": True}, "at": 5, "by": "someone"}
    assert reader.read(orjson.dumps(message)) == LabelMessage("x", True, 5000)


def test_a_label_message_has_its_id_where_the_event_has_it_unless_told_otherwise() -> None:
    reader = label_reader(events={"id": "site.id"})
    assert reader.read(b'{"site":{"id":7},"label":true}') == LabelMessage(7, True, None)


@pytest.mark.parametrize("identity", [None, "", True, 1.5, [], {}, "x" * 1001])
def test_an_id_of_a_label_is_an_id_of_an_event(identity: Any) -> None:
    for reader in (label_reader(), event_reader(features=["label"])):
        with pytest.raises(DeadLetter, match=r"^id:"):
            reader.read(orjson.dumps({"id": identity, "label": True}))
