"""A broker that is away for longer than a moment: the worker waits, says so, and goes on."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import KafkaException

from tests.support.kafka.app import App, event_of
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_nothing_is_lost,
    fed_workers,
)
from tests.support.kafka.fixture import LocalKafka
from tests.support.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


@contextmanager
def away(cluster: LocalKafka, kafka: Kafka, how: str = "pause") -> Iterator[None]:
    """No broker answers in here; afterwards they do again."""
    cluster.kill() if how == "kill" else cluster.pause()
    try:
        yield
    finally:
        cluster.restart() if how == "kill" else cluster.resume()
        wait_until(lambda: answers(kafka), 120, "the brokers are back")


def answers(kafka: Kafka) -> bool:
    """Whether new topics can be made: a controller is there, and brokers are not fenced."""
    try:
        kafka.create_topics(kafka.unique("back"))
    except KafkaException:
        return False
    return True


def ask(worker: WorkerProcess, path: str) -> tuple[int, str]:
    """Status and body of a probe or of the metrics."""
    address = re.findall(r"serving .*address=([^)\s]+)", worker.log_text())[-1]
    try:
        with urlopen(f"http://{address}/{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def is_ready(worker: WorkerProcess) -> bool:
    return ask(worker, "readyz")[0] == 200


def silence(worker: WorkerProcess) -> float:
    """Seconds without a broker, as the metric has it."""
    found = re.search(
        r"^millstream_broker_silence_seconds{\S+ (\S+)$", ask(worker, "metrics")[1], re.MULTILINE
    )
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_worker_waits_out_a_broker_alive_and_not_ready_and_goes_on_by_itself(
    own_cluster: LocalKafka, tmp_path: Path, how: str
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    labels = {"from": "topic", "wait": "1h"}
    with fed_workers(kafka, tmp_path, per_second=30, labels=labels) as fed:
        workers = [each.worker for each in fed]
        for worker in workers:
            worker.wait_until(lambda: is_ready(worker))
        with away(own_cluster, kafka, how):
            for worker in workers:
                worker.wait_until(lambda: not is_ready(worker))
                reason = json.loads(ask(worker, "readyz")[1])["reason"]
                assert re.fullmatch(r"no broker has answered for \d+ s", reason)
            # Longer than a loop may be silent, and than a session: alive all the while.
            wait_until(
                lambda: (
                    any(ask(worker, "livez")[0] == 503 for worker in workers)
                    or all(silence(worker) > 40 for worker in workers)
                ),
                timeout=120,
            )
            assert [ask(worker, "livez")[0] for worker in workers] == [200, 200]
        for app, worker, feed in fed:
            before = feed.sent
            worker.wait_until(lambda: is_ready(worker) and silence(worker) == 0, timeout=120)
            worker.wait_until(lambda: app.handled() > before, timeout=120)
        for each in fed:
            assert_nothing_is_lost(each, each.finish())


def test_a_moment_without_a_broker_costs_neither_membership_nor_state(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(kafka, tmp_path)
    with app.worker() as worker:
        with Feed(kafka, app, per_second=30) as feed:
            worker.wait_until(lambda: app.handled() > 30)
        worker.wait_until(lambda: app.handled() == feed.sent)
        with away(own_cluster, kafka):
            worker.wait_until(lambda: silence(worker) > 2)  # within the session
        worker.wait_until(lambda: silence(worker) == 0)
        with Feed(kafka, app, per_second=30) as more:
            worker.wait_until(lambda: app.handled() > feed.sent)
        worker.wait_until(lambda: app.handled() == feed.sent + more.sent)
        assert worker.log_text().count("partitions assigned") == 1
        assert worker.log_text().count("restored (") == 1
        assert worker.stop() == 0


def test_a_broker_away_for_longer_than_the_limit_ends_the_worker_with_one_sentence(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    with fed_workers(kafka, tmp_path, per_second=30, recovery={"max_outage": "15s"}) as fed:
        with away(own_cluster, kafka):
            for each in fed:
                assert each.worker.wait(90) == 1
        for app, worker, feed in fed:
            feed.end()
            assert "no broker has answered for" in worker.log_text().splitlines()[-1]
            assert "Traceback" not in worker.log_text()
            worker.start()
            worker.wait_until(
                lambda: kafka.committed(app.name, app.events, 0) == feed.sent, timeout=120
            )
            assert worker.stop() == 0
            repeats = app.settings["processing_guarantee"] == "at_least_once"
            assert_each_event_has_one_prediction(app, feed.sent, repeats=repeats)


@pytest.mark.parametrize("asked", [True, False], ids=["to-stop", "by-the-limit"])
def test_a_worker_ends_in_the_middle_of_a_commit_that_no_broker_answers(
    own_cluster: LocalKafka, tmp_path: Path, asked: bool
) -> None:
    """The one call of a transaction that has no time-out unless it is given one."""
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(kafka, tmp_path, recovery={} if asked else {"max_outage": "15s"})
    worker = WorkerProcess(app.file, env={"MILLSTREAM_FAILPOINT": "before_commit:1:3"})
    with worker:
        app.send(app.events, [event_of(0)])
        worker.wait_for_log("sleeping at a failpoint")
        with away(own_cluster, kafka):
            if asked:
                worker.wait_for_log("no broker answers")
                worker.sigterm()
            assert worker.wait(60) == 1
        reason = "stopped while Kafka did not answer" if asked else "no broker has answered for"
        assert reason in worker.log_text().splitlines()[-1]
        assert "Traceback" not in worker.log_text()
    with app.worker(1) as again:
        again.wait_until(lambda: kafka.committed(app.name, app.events, 0) == 1)
        assert again.stop() == 0
    assert_each_event_has_one_prediction(app, 1, repeats=False)


def test_an_idle_worker_that_is_to_stop_ends_well_while_no_broker_answers(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    asked_by_sigterm, asked_by_sigint = apps = [App(kafka, tmp_path) for _ in range(2)]
    with asked_by_sigterm.worker() as first, asked_by_sigint.worker() as second:
        for app, worker in zip(apps, (first, second), strict=True):
            app.send(app.events, [event_of(0)])
            worker.wait_until(lambda: kafka.committed(app.name, app.events, 0) == 1)
        with away(own_cluster, kafka):
            for worker in (first, second):
                worker.wait_until(lambda: not is_ready(worker))
            first.sigterm()
            second.sigint()
            assert (first.wait(30), second.wait(30)) == (0, 0)
    assert "Traceback" not in first.log_text() + second.log_text()
