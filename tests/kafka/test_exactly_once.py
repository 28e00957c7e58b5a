"""Crashes, hand-overs and zombies: nothing is lost, nothing is learned or published twice."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.app import App, released_digests
from tests.kafka.cluster import Kafka
from tests.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

KILLS = 10
SESSION_MS = 2_000
INLINE = {"from": "event"}
LATE = {"from": "topic", "wait": "1h"}


def make_app(
    kafka: Kafka, folder: Path, guarantee: str, labels: dict[str, str], **more: Any
) -> App:
    """An app whose group notices a dead worker soon."""
    return App(
        kafka, folder, labels=labels, processing_guarantee=guarantee,
        batch={"max_records": 50}, **more,
    )  # fmt: skip


def shorten_session(app: App) -> None:
    app.write_settings(
        kafka={
            "bootstrap.servers": app.kafka.bootstrap,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": 500,
        }
    )


def published(app: App) -> int:
    return sum(app.kafka.end_offsets(app.topic("predictions")).values())


def wait_for_progress(app: App, worker: WorkerProcess) -> None:
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


@pytest.mark.parametrize("labels", [INLINE, LATE], ids=["inline", "late"])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_killed_ten_times_at_random_moments_is_as_one_that_never_was(
    kafka: Kafka, tmp_path: Path, guarantee: str, labels: dict[str, str]
) -> None:
    app = make_app(kafka, tmp_path, guarantee, labels)
    shorten_session(app)
    moments = random.Random(20261121)
    with app.worker() as worker:
        with Feed(kafka, app) as feed:
            for _ in range(KILLS):
                wait_for_progress(app, worker)
                # The moment of the kill is what the test is about, not a wait for anything.
                time.sleep(moments.uniform(0, 0.5))
                worker.sigkill()
                worker.start()
            wait_for_progress(app, worker)
        finish(app, worker, feed.sent)
        digests = released_digests(worker)
    assert_each_event_has_one_prediction(app, feed.sent, repeats=guarantee == "at_least_once")
    assert_each_event_was_learned_once(app, feed.sent)
    assert digests == expected_digests(app)
    # The same log, worked off by a worker that nobody disturbs.
    calm = App(kafka, tmp_path, labels=labels, inputs_of=app)
    with calm.worker() as undisturbed:
        finish(calm, undisturbed, feed.sent)
        assert released_digests(undisturbed) == digests


@pytest.mark.parametrize("labels", [INLINE, LATE], ids=["inline", "late"])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_workers_that_join_leave_and_wake_up_as_zombies_change_nothing(
    kafka: Kafka, tmp_path: Path, guarantee: str, labels: dict[str, str]
) -> None:
    app = make_app(kafka, tmp_path, guarantee, labels, partitions=2)
    shorten_session(app)
    with app.worker(1) as first, app.worker(2) as second:
        with Feed(kafka, app, per_second=200) as feed:
            second.wait_for_log("restored")
            first.wait_for_log("restored")
            wait_for_progress(app, first)
            second.sigterm()  # a hand-over on good terms
            assert second.wait() == 0
            wait_for_progress(app, first)
            second.start()
            second.wait_until(
                lambda: second.log_text().count("restored (") >= 2, message="it is back"
            )
            assignments = first.log_text().count("partitions assigned")
            first.sigstop()  # put out of the group while it knows nothing of it
            second.wait_until(
                lambda: "positions" in second.log_text().rsplit("partitions assigned", 1)[1],
                message="the other worker takes over",
            )
            wait_for_progress(app, second)
            time.sleep(2 * SESSION_MS / 1000)  # past its session and its transaction's time-out
            first.sigcont()
            first.wait_until(
                lambda: first.log_text().count("partitions assigned") > assignments, timeout=90,
                message="the zombie finds its way back into the group",
            )  # fmt: skip
            wait_for_progress(app, first)
            second.sigterm()
            assert second.wait() == 0
        finish(app, first, feed.sent)
        digests = {**released_digests(second), **released_digests(first)}
    assert_each_event_has_one_prediction(app, feed.sent, repeats=guarantee == "at_least_once")
    if guarantee == "exactly_once":
        assert_each_event_was_learned_once(app, feed.sent)
    assert digests == expected_digests(app)
