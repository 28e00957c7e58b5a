"""What a restore makes of logs whose beginning is gone, where labels come later."""

import logging

import pytest

from millstream import Memory, Stop
from millstream.runners.memory.broker import MemoryReader


def app_of(lost_log: str) -> Memory:
    return Memory(
        {
            "app": "a",
            "events": {"topic": "e", "id": "id", "features": ["x"]},
            "labels": {"from": "topic", "topic": "l", "wait": "1h"},
            "model": {"river": "linear_model.LinearRegression()"},
            "recovery": {"lost_log": lost_log},
        }
    )


def cut(monkeypatch: pytest.MonkeyPatch, topic: str, below: int) -> None:
    """Let a topic begin at this offset, as after its retention."""
    whole = MemoryReader.bounds

    def bounds(self: MemoryReader, name: str, partition: int) -> tuple[int, int]:
        low, high = whole(self, name, partition)
        return (below if name == topic else low), high

    monkeypatch.setattr(MemoryReader, "bounds", bounds)


def learn(app: Memory, count: int) -> None:
    for number in range(count):
        app.predict({"id": number, "x": float(number)})
        app.label(number, float(number))


def test_lost_examples_stop_the_worker_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of("stop")
    learn(app, 10)
    cut(monkeypatch, "a.examples", 8)
    app.restart()
    with pytest.raises(Stop, match="begins at offset 8, but what the model learned needs it from"):
        app.predict({"id": 10, "x": 1.0})


@pytest.mark.parametrize("snapshot", [False, True])
def test_lost_examples_are_done_without_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, *, snapshot: bool
) -> None:
    app = app_of("continue")
    learn(app, 5)
    if snapshot:
        app.advance("3h")  # so that nothing waits, and the snapshot needs nothing from before it
        app.worker.snapshot()
    for number in range(5, 10):
        app.predict({"id": number, "x": float(number)})
        app.label(number, float(number))
    cut(monkeypatch, "a.examples", 8)
    app.restart()
    app.predict({"id": 10, "x": 1.0})
    app.label(10, 1.0)
    assert app.learned == 11, "numbers go on where they were"
    app.restart()
    assert app.predict({"id": 11, "x": 1.0})["model"]["learned"] == 11


def test_lost_predictions_that_may_have_waited_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of("stop")
    for number in range(10):
        app.predict({"id": number, "x": 1.0})
    cut(monkeypatch, "a.predictions", 4)
    app.restart()
    with caplog.at_level(logging.WARNING, "millstream"):
        app.predict({"id": 10, "x": 1.0})
    (warning,) = (each for each in caplog.records if "may have waited" in each.message)
    assert vars(warning)["begins_at"] == 4
