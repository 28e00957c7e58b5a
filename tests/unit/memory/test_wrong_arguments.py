"""What a program gives that is none of what it should be: a sentence, and nothing has come."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from millstream import Memory, SettingsError, Stop, evaluate, load_settings
from tests.support.apps import inline, small

EVENT = {"id": 1, "x": 1.0}


@pytest.mark.parametrize("event", [None, 5, "text", [EVENT], bytearray(b"{}")])
def test_what_is_no_event_is_named(event: Any) -> None:
    app = Memory(small())
    with pytest.raises(Stop, match=f"an event is a dict .* and no {type(event).__name__}"):
        app.predict(event)
    assert app.predict(EVENT)["source"]["offset"] == 0


@pytest.mark.parametrize("source", [None, 5, b"x", EVENT])
def test_what_is_no_source_is_named(source: Any) -> None:
    for take in (Memory(small()).run, lambda each: evaluate(inline(), each)):
        with pytest.raises(Stop, match=f"no {type(source).__name__}: put a single one into a list"):
            take(source)


@pytest.mark.parametrize("record", [None, "x", ("a", "b", "c"), (1, True), [1, 2]])
def test_a_record_that_is_no_event_is_named_and_those_before_it_have_come(record: Any) -> None:
    app = Memory(small())
    with pytest.raises(Stop, match=f"record 2 is a {type(record).__name__}, .*to_dict"):
        app.run([EVENT, record])
    assert len(app.predictions) == 1


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({**EVENT, "x": 10**400}, "cannot be written as JSON: int too large"),
        ({**EVENT, "id": "\ud800"}, "text that UTF-8 cannot write"),
    ],
)
def test_what_json_cannot_hold_is_one_sentence(event: dict[str, Any], sentence: str) -> None:
    for send in (Memory(small()).predict, lambda each: Memory(small()).run([each])):
        with pytest.raises(Stop, match=sentence):
            send(event)


@pytest.mark.parametrize(
    "at", [1.5, True, "now", -1, 10**30, float("nan"), datetime(2026, 1, 1, tzinfo=UTC)]
)
def test_a_time_that_records_cannot_have_is_refused(at: Any) -> None:
    app = Memory(small())
    sends: list[Callable[[], Any]] = [
        lambda: app.predict(EVENT, at=at),
        lambda: app.label(1, True, at=at),
        lambda: app.send_label(b"{}", at=at),
    ]
    for send in sends:
        with pytest.raises(SettingsError, match="whole number of milliseconds since 1970"):
            send()
    assert app.predict(EVENT, at=np.int64(7))["event_time"] == 7  # type: ignore[arg-type] # of a table


@pytest.mark.parametrize("partitions", [0, -1, 1.5, "2", None, True])
def test_a_number_of_partitions_that_is_none_is_refused(partitions: Any) -> None:
    with pytest.raises(SettingsError, match=r"partitions is .*: it has to be a number from 1 on"):
        Memory(small(), partitions=partitions)
    with pytest.raises(SettingsError, match="partitions is"):
        evaluate(inline(), [EVENT], partitions=partitions)


@pytest.mark.parametrize("given", [None, 5, {"app": "fraud"}])
def test_settings_that_are_no_path_are_named(given: Any) -> None:
    with pytest.raises(SettingsError, match=f"and no {type(given).__name__}: make_settings"):
        load_settings(given)


@pytest.mark.parametrize(
    ("river", "truth"),
    [
        ("anomaly.HalfSpaceTrees(seed=1)", "no"),
        ("anomaly.HalfSpaceTrees(seed=1)", 2),
        ("anomaly.HalfSpaceTrees(seed=1)", []),
        ("cluster.KMeans(n_clusters=2, seed=1)", [1]),
    ],
)
def test_a_truth_that_nothing_can_be_held_against_is_named(river: str, truth: Any) -> None:
    settings = {**small(model={"river": river}), "labels": {"from": "none"}}
    with pytest.raises(SettingsError, match="the truth of an event is"):
        evaluate(settings, [{**EVENT, "y": truth}], truth="y")
    assert evaluate(settings, [{**EVENT, "y": 1}], truth="y").events == 1
