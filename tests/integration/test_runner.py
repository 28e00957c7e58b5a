"""The worker as an engineer meets it: signals, topics, brokers, names, too much bad input."""

import urllib.request
from pathlib import Path

import orjson
import pytest

from tests.support.kafka.app import App, event_of, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("signal", ["sigterm", "sigint"])
def test_a_signal_finishes_the_batch_commits_and_leaves_with_0(
    kafka: Kafka, tmp_path: Path, signal: str
) -> None:
    app = App(kafka, tmp_path)
    with app.worker() as worker, Feed(kafka, app):
        worker.wait_until(lambda: app.handled() > 20)
        getattr(worker, signal)()
        assert worker.wait(15) == 0
        assert "Traceback" not in worker.log_text()
    # What was published is what was consumed, to the record.
    assert kafka.committed(app.name, app.events) == app.handled()


def test_missing_topics_are_named_with_the_command_that_creates_them(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(app=kafka.unique("another"))
    with app.worker() as worker:
        assert worker.wait() == 1
        log = worker.log_text()
    assert f"millstream topics create {app.file}" in log
    assert ".predictions" in log
    assert "Traceback" not in log


def test_unequal_partition_counts_are_refused(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    more = kafka.unique("more")
    kafka.create_topics(more, partitions=3)
    app.write_settings(events={**app.settings["events"], "topic": more})
    with app.worker() as worker:
        assert worker.wait() == 1
        assert "they have to be equal" in worker.log_text()


def test_a_broker_that_is_not_there_is_said_in_one_sentence(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(kafka={"bootstrap.servers": "127.0.0.1:1"})
    with app.worker() as worker:
        assert worker.wait(60) == 1
        assert "no Kafka broker answers" in worker.log_text()
        assert "Traceback" not in worker.log_text()


def test_an_unknown_property_of_kafka_is_a_wrong_setting(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(kafka={"bootstrap.servers": kafka.bootstrap, "fetch.wait.max": 1})
    with app.worker() as worker:
        assert worker.wait() == 2
        assert "fetch.wait.max" in worker.log_text()
        assert "Traceback" not in worker.log_text()


def test_a_topic_of_bad_messages_stops_the_worker_before_it_is_all_dead_letters(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, dead_letters={"window": 200}, batch={"max_records": 100})
    app.send(app.events, [(i, b"junk") for i in range(1000)])
    with app.worker() as worker:
        assert worker.wait() == 1
        assert "went to dead letters, most of the last batch with reason not_json" in (
            worker.log_text()
        )
    # What stopped it was not consumed: nothing is lost, and a restart meets it again.
    assert len(app.dead_letters()) < 200
    assert (kafka.committed(app.name, app.events) or 0) == len(app.dead_letters())


def test_two_workers_of_one_instance_name_do_not_fight_in_silence(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, partitions=2, instance="one")
    with app.worker(1) as first, Feed(kafka, app):
        first.wait_until(lambda: app.handled() > 10)
        with app.worker(2) as second:
            second.wait_for_log("restored")
            loser = first if "instance" in first.log_text() else None
            while loser is None:
                for worker in (first, second):
                    if not worker.running:
                        loser = worker
            assert loser.wait() == 1
            assert "setting instance" in loser.log_text()
            assert "Traceback" not in loser.log_text()


def test_a_static_member_whose_name_another_worker_takes_ends_with_a_sentence(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(kafka={"bootstrap.servers": kafka.bootstrap, "group.instance.id": "twin"})
    with app.worker(1) as first, Feed(kafka, app, per_second=100):
        first.wait_until(lambda: app.handled() > 20)
        with app.worker(2) as second:
            assert first.wait() == 1
            assert "group.instance.id" in first.log_text().splitlines()[-1]
            assert "Traceback" not in first.log_text()
            before = app.handled()
            second.wait_until(lambda: app.handled() > before)
            assert second.stop() == 0


def test_a_group_of_the_new_protocol_hands_partitions_over_exactly(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, partitions=2, labels={"from": "topic", "wait": "1h"})
    app.write_settings(kafka={"bootstrap.servers": kafka.bootstrap, "group.protocol": "consumer"})
    with app.worker(1) as first, app.worker(2) as second:
        with Feed(kafka, app, per_second=150) as feed:
            first.wait_for_log("restored")
            second.wait_for_log("restored", timeout=90)
            first.wait_until(lambda: app.handled() > 100)
            second.sigterm()
            assert second.wait() == 0
        first.wait_until(lambda: app.resolved() == feed.sent, timeout=90)
        assert first.stop() == 0
        digests = {**released_digests(second), **released_digests(first)}
    assert_each_event_has_one_prediction(app, feed.sent, repeats=False)
    assert_each_event_was_learned_once(app, feed.sent)
    assert digests == expected_digests(app)


def test_metrics_and_health_tell_what_the_worker_does(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    app.send(app.events, map(event_of, range(100)))
    app.send(app.events, [(100, b"junk")])
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 101)
        line = next(x for x in worker.log_text().splitlines() if "address=" in x)
        address = line.split("address=")[1].split(")")[0]

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return str(answer.read().decode())

        ours = f'app="{app.name}"'
        predicted = f"millstream_predicted_total{{{ours}}} 100.0"
        worker.wait_until(lambda: predicted in get("/metrics"))
        metrics = get("/metrics")
        labels = f'{ours},reason="not_json",stage="decode"'
        assert f"millstream_dead_lettered_total{{{labels}}} 1.0" in metrics
        assert f'millstream_transactions_total{{{ours},result="committed"}}' in metrics
        labels = f'{ours},partition="0",side="events",topic="{app.events}"'
        no_lag = f"millstream_lag_records{{{labels}}} 0.0"
        worker.wait_until(lambda: no_lag in get("/metrics"))
        assert '"ready": true' in get("/readyz")
        assert '"alive": true' in get("/livez")
        assert worker.stop() == 0


def test_headers_key_and_event_time_are_carried_on(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    _, document = event_of(7)
    app.kafka.produce(
        app.events,
        [(b"\xff\x00key", orjson.dumps(document), [("trace", b"\x01"), ("x", None)],
          1_700_000_000_000, None)],
    )  # fmt: skip
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 1)
        assert worker.stop() == 0
    (message,) = app.read("predictions")
    assert message.key == b"\xff\x00key"
    assert message.headers == [("trace", b"\x01"), ("x", None)]
    assert message.json["event_time"] == 1_700_000_000_000
    assert message.timestamp > 1_700_000_000_000 + 86_400_000
