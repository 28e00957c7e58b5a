"""A broker that goes away under the worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.app import App, released_digests
from tests.kafka.cluster import Kafka
from tests.kafka.feed import Feed, assert_each_event_has_one_prediction, expected_digests
from tests.kafka.fixture import LocalKafka, local_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def own_cluster(kafka: Kafka) -> Iterator[LocalKafka]:
    """A cluster that no other test is on; asks for the shared one only for its skip or failure."""
    del kafka
    with local_kafka() as cluster:
        yield cluster


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_broker_killed_and_started_again_under_the_worker_costs_no_event(
    own_cluster: LocalKafka, tmp_path: Path, guarantee: str
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(
        kafka, tmp_path, processing_guarantee=guarantee, labels={"from": "topic", "wait": "1h"}
    )
    with app.worker() as worker, Feed(kafka, app, per_second=150) as feed:
        worker.wait_until(lambda: app.handled() > 50)
        own_cluster.kill()
        own_cluster.restart()
        before = feed.sent
        worker.wait_until(lambda: app.handled() > before, timeout=120)
        feed.end()
        worker.wait_until(lambda: app.resolved() == feed.sent, timeout=120)
        assert worker.stop() == 0
        digests = released_digests(worker)
    assert_each_event_has_one_prediction(app, feed.sent, repeats=guarantee == "at_least_once")
    assert digests == expected_digests(app)


def test_a_worker_that_is_to_stop_does_not_wait_for_a_broker_that_is_gone(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(kafka, tmp_path)
    with app.worker() as worker:
        with Feed(kafka, app, per_second=150) as feed:
            worker.wait_until(lambda: app.handled() > 50)
            own_cluster.pause()
            try:
                worker.sigterm()
                assert worker.wait(60) in (0, 1)
                assert "Traceback" not in worker.log_text()
            finally:
                own_cluster.resume()
        worker.start()
        worker.wait_until(lambda: app.handled() == feed.sent, timeout=120)
        assert worker.stop() == 0
    assert_each_event_has_one_prediction(app, feed.sent, repeats=False)
