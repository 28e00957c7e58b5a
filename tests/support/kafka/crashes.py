"""Workers that die at any moment, and what has to be as if they had not."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.kafka.app import App, released_digests
from tests.support.kafka.feed import (
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.support.kafka.worker import WorkerProcess

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


def wait_for_progress(app: App, worker: WorkerProcess, timeout: float = 120) -> None:
    """Wait for one more prediction."""
    before = published(app)
    worker.wait_until(
        lambda: published(app) > before, timeout=timeout, message="predictions come out"
    )


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


def kill_at_random_moments(
    app: App, worker: WorkerProcess, times: int, timeout: float = 120
) -> None:
    """Kill a worker that is at work, and start it again, so many times.

    `timeout`: seconds until it is at work.
    """
    moments = random.Random(20261121)
    for _ in range(times):
        wait_for_progress(app, worker, timeout)
        # The moment of the kill is what the test is about, not a wait for anything.
        time.sleep(moments.uniform(0, 0.5))
        worker.sigkill()
        worker.start()
    wait_for_progress(app, worker, timeout)


def wake_up_as_a_zombie(
    app: App,
    worker: WorkerProcess,
    other: WorkerProcess,
    taken_over: Callable[[], bool],
    timeout: float = 120,
) -> None:
    """Stop a worker until the group has put it out and `other` has taken over; wake it up again.

    `timeout`: seconds until predictions come out again.
    """
    assignments = worker.log_text().count("partitions assigned")
    worker.sigstop()  # put out of the group while it knows nothing of it
    other.wait_until(taken_over, message="the other worker takes over")
    wait_for_progress(app, other, timeout)
    time.sleep(2 * SESSION_MS / 1000)  # past its session and its transaction's time-out
    worker.sigcont()
    worker.wait_until(
        lambda: worker.log_text().count("partitions assigned") > assignments,
        timeout=90,
        message="the zombie finds its way back into the group",
    )
    wait_for_progress(app, worker, timeout)


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
