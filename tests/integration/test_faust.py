"""A worker inside Faust: killed, joined, left alone, frozen; the weights are those of the log."""

from pathlib import Path

import pytest

from tests.integration.test_exactly_once import INLINE, LATE, make_app
from tests.support.kafka.app import App, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.crashes import (
    finish,
    kill_at_random_moments,
    shorten_session,
    wait_for_progress,
    wake_up_as_a_zombie,
)
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.support.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

KILLS = 3
START_SECONDS = 150
"""Faust takes longer to start than the worker alone."""


def faust_app(kafka: Kafka, folder: Path, labels: dict[str, str], **more: int) -> App:
    app = make_app(kafka, folder, "at_least_once", labels, **more)
    app.write_settings(runner="faust")
    shorten_session(app)
    return app


def wait_until_it_works(worker: WorkerProcess, restores: int) -> None:
    worker.wait_until(
        lambda: worker.log_text().count("restored (") >= restores,
        timeout=START_SECONDS,
        message="shards are restored",
    )


@pytest.mark.parametrize("labels", [INLINE, LATE], ids=["inline", "late"])
def test_a_worker_inside_faust_killed_at_random_moments_learns_nothing_twice(
    kafka: Kafka, tmp_path: Path, labels: dict[str, str]
) -> None:
    app = faust_app(kafka, tmp_path, labels)
    with app.worker() as worker:
        with Feed(kafka, app, per_second=50) as feed:
            kill_at_random_moments(app, worker, KILLS, START_SECONDS)
        finish(app, worker, feed.sent)
        digests = released_digests(worker)
    assert_each_event_has_one_prediction(app, feed.sent, repeats=True)
    assert_each_event_was_learned_once(app, feed.sent)
    assert digests == expected_digests(app)


def test_workers_inside_faust_that_join_leave_and_wake_up_as_zombies_learn_nothing_twice(
    kafka: Kafka, tmp_path: Path
) -> None:
    # Three partitions for two workers: round robin would part events from their labels.
    app = faust_app(kafka, tmp_path, LATE, partitions=3)
    with app.worker(1) as first, app.worker(2) as second:
        with Feed(kafka, app, per_second=50) as feed:
            wait_until_it_works(second, 1)
            wait_until_it_works(first, 1)
            wait_for_progress(app, first, START_SECONDS)
            second.sigterm()  # a hand-over on good terms
            assert second.wait() == 0
            wait_for_progress(app, first, START_SECONDS)
            restores = second.log_text().count("restored (")
            second.start()
            wait_until_it_works(second, restores + 1)
            wake_up_as_a_zombie(
                app, first, second,
                lambda: "partitions=[0, 1, 2]" in second.log_text().rsplit("assigned", 1)[1],
                START_SECONDS,
            )  # fmt: skip
            second.sigterm()
            assert second.wait() == 0
        finish(app, first, feed.sent)
        digests = {**released_digests(second), **released_digests(first)}
    assert_each_event_has_one_prediction(app, feed.sent, repeats=True)
    assert digests == expected_digests(app)
