"""The shortcut for usual events is never another answer than the careful reader's."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model

from millstream.core.formats.events import EventReader
from millstream.core.models.river.kinds import river_learner
from millstream.core.spec import EventsSpec, LabelsSpec
from millstream.errors import DeadLetter

EVENTS = EventsSpec(topic="e", id="id", features=("a", "b"), label="y")
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers()),
)  # fmt: skip


def reader() -> EventReader:
    learner = river_learner(linear_model.LogisticRegression())
    return EventReader(EVENTS, LabelsSpec(**{"from": "event"}), learner, None)


def read(by: EventReader, value: bytes) -> Any:
    try:
        return by.read(value)
    except DeadLetter as bad:
        return bad.reason, bad.detail


@given(
    st.dictionaries(st.sampled_from(["id", "a", "b", "y", "z"]), VALUES, max_size=5)
    | st.fixed_dictionaries({"id": VALUES, "a": VALUES, "b": VALUES, "y": VALUES})
)
def test_it_says_the_same_of_every_event(document: dict[str, Any]) -> None:
    try:
        value = orjson.dumps(document)
    except TypeError:  # an integer that orjson does not write, though it may come in
        value = repr(document).replace("'", '"').replace("None", "null").encode()
    careful = reader()
    careful.usual = None
    assert read(reader(), value) == read(careful, value)


def test_the_usual_event_takes_it() -> None:
    taken = reader().usual
    assert taken is not None
    assert taken(b'{"id": 1, "a": 2, "b": 0.5, "y": true}') == (
        1,
        {"a": 2, "b": 0.5},
        True,
        None,
        0,
    )


@pytest.mark.parametrize("value", [b"", b"[1]", b"3", b"null", b"{", b"\xff"])
def test_what_is_no_object_is_not_judged_there(value: bytes) -> None:
    taken = reader().usual
    assert taken is not None
    assert taken(value) is None
