"""What comes of events and labels by how and when they are sent to an app in memory."""

from typing import Any

import orjson
import pytest

from millstream.errors import DeadLetter, SettingsError, Stop
from millstream.evaluation import evaluate
from millstream.kafka.partitioners import murmur2_partition
from millstream.memory import Memory
from tests.support.apps import inline, small


def test_max_idle_takes_no_time_where_nothing_is_on_its_way() -> None:
    app, without = Memory(small({"max_idle": "40m"})), Memory(small())
    for each in (app, without):
        times = [each.predict({"id": n, "x": 1.0})["predicted_at"] for n in range(3)]
        assert times == [times[0], times[0] + 1, times[0] + 2]
        each.label(0, label=True)
        assert (each.learned, each.waiting) == (1, 2)
    assert app.examples == without.examples


def test_messages_as_they_are_go_where_their_id_sends_them() -> None:
    app = Memory(small(), partitions=4)
    for n in range(8):
        place = app.predict(b'{"id": %d, "x": 1.0}' % n)["source"]["partition"]
        assert place == murmur2_partition(str(n).encode(), 4)
        app.send_label(b'{"id": %d, "label": true}' % n)
    assert (app.learned, app.waiting) == (8, 0)


def test_an_app_that_starts_at_the_latest_predicts_its_first_event() -> None:
    events = {"topic": "sites", "id": "id", "features": ["x"], "label": "y", "start": "latest"}
    app = Memory(inline(events=events), partitions=3)
    rows = [{"id": n, "x": 1.0, "y": True} for n in range(6)]
    assert [app.predict(row)["id"] for row in rows] == list(range(6))
    app.restart()
    assert app.learned == 6


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ({"labels_after": -1}, "labels cannot come -1 events after their own"),
        ({"labels_delay": -1}, "-1 is no duration"),
        ({"labels": [], "labels_after": 3}, "labels have a source of their own"),
        ({"labels": [], "labels_delay": "1h"}, "labels have a source of their own"),
    ],
)
def test_when_labels_come_is_said_in_one_way_that_can_be(when: Any, sentence: str) -> None:
    settings = small({"timestamp": "at"})
    settings["events"]["timestamp"] = "at"
    with pytest.raises(SettingsError, match=sentence):
        Memory(settings).run([{"id": 1, "x": 1.0, "at": 5, "label": True}], **when)
    with pytest.raises(SettingsError, match=sentence):
        evaluate(settings, [{"id": 1, "x": 1.0, "at": 5, "label": True}], **when)


def test_an_event_comes_to_what_its_message_would() -> None:
    settings = small()
    settings["events"]["unknown"] = "dead_letter"
    for event in ({"id": 1, "x": 1.0, "label": True}, {"id": None, "x": 1.0}, {"id": 1.5, "x": 1}):
        told = []
        for each in (event, orjson.dumps(event)):
            app = Memory(settings)
            with pytest.raises(DeadLetter) as bad:
                app.predict(each)
            told.append((bad.value.reason, bad.value.detail, app.dead_letters[0].value))
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(b"a", "bytes has no place in JSON"), ("\ud800", "surrogates not allowed")],
)
def test_an_event_that_is_no_json_is_refused_in_a_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(Stop, match=f"a record cannot be written as JSON: .*{sentence}"):
        Memory(small()).predict({"id": 1, "x": value})


def test_a_label_that_tells_a_time_far_ahead_expires_nothing_if_it_is_said_when_it_comes() -> None:
    settings = small({"timestamp": "at"})
    settings["events"]["timestamp"] = "at"
    app = Memory(settings)
    now = 1_700_000_000_000
    for n in range(3):
        app.predict({"id": n, "x": 1.0, "at": now})
    app.send_label(b'{"id": 77, "label": true, "at": 4070908800000}', at=now + 1)
    assert app.waiting == 3
    assert [each["kind"] for each in app.examples] == ["held"]
