"""Workers that die at any moment, and what has to be as if they had not."""

import random
import time
from pathlib import Path

from tests.kafka.app import App, released_digests
from tests.kafka.feed import (
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.kafka.worker import WorkerProcess

SESSION_MS = 2_000


def shorten_session(app: App) -> None:
    """Let the group notice a dead worker soon."""
    app.write_settings(
        kafka={
            "bootstrap.servers": app.kafka.bootstrap,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": 500,
        }
    )


def published(app: App) -> int:
    """How far its predictions have come."""
    return sum(app.kafka.end_offsets(app.topic("predictions")).values())


def wait_for_progress(app: App, worker: WorkerProcess) -> None:
    """Wait for one more prediction."""
    before = published(app)
    worker.wait_until(lambda: published(app) > before, message="predictions come out")


def finish(app: App, worker: WorkerProcess, sent: int) -> None:
    """Let a worker work off what is left, and end it."""

    def done() -> bool:
        offsets = [
            app.kafka.committed(app.name, topic, partition)
            for topic in ([app.events, app.labels] if app.late else [app.events])
            for partition in range(app.partitions)
        ]
        ends = sum(app.kafka.end_offsets(app.events).values())
        if app.late:
            ends += sum(app.kafka.end_offsets(app.labels).values())
        return sum(offset or 0 for offset in offsets) == ends

    worker.wait_until(done, timeout=120, message=f"{sent} events are worked off")
    assert worker.stop() == 0


def kill_at_random_moments(app: App, worker: WorkerProcess, times: int) -> None:
    """Kill a worker that is at work, and start it again, so many times."""
    moments = random.Random(20261121)
    for _ in range(times):
        wait_for_progress(app, worker)
        # The moment of the kill is what the test is about, not a wait for anything.
        time.sleep(moments.uniform(0, 0.5))
        worker.sigkill()
        worker.start()
    wait_for_progress(app, worker)


def assert_as_if_undisturbed(app: App, folder: Path, sent: int, digests: dict[int, str]) -> None:
    """Nothing of what it published or learned shows that an app's workers were disturbed."""
    repeats = app.settings.get("processing_guarantee") == "at_least_once"
    assert_each_event_has_one_prediction(app, sent, repeats=repeats)
    assert_each_event_was_learned_once(app, sent)
    assert digests == expected_digests(app)
    # The same log, worked off by a worker that nobody disturbs.
    calm = App(app.kafka, folder, labels=app.settings["labels"], inputs_of=app)
    with calm.worker() as undisturbed:
        finish(calm, undisturbed, sent)
        assert released_digests(undisturbed) == digests
