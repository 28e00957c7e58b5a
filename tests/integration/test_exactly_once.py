"""Crashes, hand-overs and zombies: nothing is lost, nothing is learned or published twice."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.kafka.app import App, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.crashes import (
    assert_as_if_undisturbed,
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

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

KILLS = 10
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


@pytest.mark.parametrize("labels", [INLINE, LATE], ids=["inline", "late"])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_killed_ten_times_at_random_moments_is_as_one_that_never_was(
    kafka: Kafka, tmp_path: Path, guarantee: str, labels: dict[str, str]
) -> None:
    app = make_app(kafka, tmp_path, guarantee, labels)
    shorten_session(app)
    with app.worker() as worker:
        with Feed(kafka, app) as feed:
            kill_at_random_moments(app, worker, KILLS)
        finish(app, worker, feed.sent)
        digests = released_digests(worker)
    assert_as_if_undisturbed(app, tmp_path, feed.sent, digests)


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
            wake_up_as_a_zombie(
                app, first, second,
                lambda: "positions" in second.log_text().rsplit("partitions assigned", 1)[1],
            )  # fmt: skip
            second.sigterm()
            assert second.wait() == 0
        finish(app, first, feed.sent)
        digests = {**released_digests(second), **released_digests(first)}
    assert_each_event_has_one_prediction(app, feed.sent, repeats=guarantee == "at_least_once")
    if guarantee == "exactly_once":
        assert_each_event_was_learned_once(app, feed.sent)
    assert digests == expected_digests(app)
