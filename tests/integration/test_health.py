"""Liveness and readiness of a real loop: idle, stalled, restoring. Outages: `test_outages`."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from river import base, linear_model

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import load_settings
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.worker import Worker
from tests.support.kafka.app import FEATURES, App, event_of
from tests.support.kafka.cluster import Kafka, wait_until

pytestmark = pytest.mark.kafka

STALL_AFTER = 10.0
MARK = 0.123
"""The first feature of each event of these tests."""


class Gate:
    """Holds the model up while it is closed."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def close(self) -> None:
        self.reached.clear()
        self.open.clear()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.open.wait(120), "the gate was left closed"


GATE = Gate()


class Gated(base.Classifier):
    """A logistic regression that waits at the gate before it learns."""

    def __init__(self) -> None:
        self.inner = linear_model.LogisticRegression()

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        if x[FEATURES[0]] == MARK:  # an event, and not what a new model is tried with
            GATE.pass_through()
        self.inner.learn_one(x, y)

    def predict_proba_one(self, x: dict[Hashable, Any], **_: Any) -> dict[bool | str | int, float]:
        answer: dict[Any, float] = self.inner.predict_proba_one(x)
        return answer


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def working(app: App, health: Health) -> Iterator[None]:
    """Let a worker run in a thread of this process, where its clock can be moved."""
    settings = load_settings(app.file)
    worker = Worker(settings, learner_factory(settings), Metrics(), health)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        GATE.open.set()
        worker.stop()
        thread.join(60)
    if ended:
        raise ended[0]


def test_an_idle_loop_is_alive_a_stalled_one_is_not_and_a_restoring_one_is_not_ready(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, model={"factory": f"{__name__}:Gated"}, snapshots={"enabled": False})
    clock = Clock()
    health = Health(STALL_AFTER, clock)
    assert not health.ready()
    with working(app, health):
        wait_until(health.ready, 120, "the worker is ready")
        for _ in range(3):  # with nothing to do
            clock.now += STALL_AFTER + 1
            assert not health.alive()
            wait_until(health.alive, 60, "an idle loop turns")
        GATE.close()
        app.send(app.events, ((n, {**event_of(n)[1], FEATURES[0]: MARK}) for n in range(3)))
        assert GATE.reached.wait(60)
        clock.now += STALL_AFTER + 1
        assert not health.alive()  # and stays so, for nothing turns until the gate is open
        GATE.open.set()
        wait_until(health.alive, 60, "a loop that goes on is alive")
        wait_until(lambda: kafka.committed(app.name, app.events) == 3, 60, "it is worked off")

    health = Health(STALL_AFTER, clock)
    GATE.close()
    with working(app, health):
        assert GATE.reached.wait(120), "the restore replays the log"
        assert health.why_not_ready() == "0 of 1 shards are restored"
        GATE.open.set()
        wait_until(health.ready, 60, "what is restored is ready")
        assert health.why_not_ready() is None
