"""A broker that goes away under the worker."""

from pathlib import Path

import pytest

from tests.support.kafka.app import App
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_nothing_is_lost,
    fed_workers,
)
from tests.support.kafka.fixture import LocalKafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

LATE = {"from": "topic", "wait": "1h"}


def test_a_broker_killed_and_started_again_under_the_worker_costs_no_event(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    with fed_workers(kafka, tmp_path, per_second=150, labels=LATE) as fed:
        own_cluster.kill()
        own_cluster.restart()
        for each in fed:
            before = each.feed.sent
            each.worker.wait_until(lambda: each.app.handled() > before, timeout=120)
        for each in fed:
            assert_nothing_is_lost(each, each.finish())


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
