"""A broker comes back and has dropped the markers of transactions: see `runners.hanging`.

The case that a test can bring about: a transaction is open when a lone broker dies, and its time
has passed when it is back. The broker then sends the markers to itself, before it takes requests,
until the controller gives up its former self and with it every leader. Each test first sees that
the transaction does hang, else it would prove nothing.
"""

import re
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.support.kafka.app import App, event_of, label_of, released_digests
from tests.support.kafka.cluster import NO_COORDINATOR_YET, Kafka, wait_until
from tests.support.kafka.crashes import SESSION_MS, finish, shorten_session
from tests.support.kafka.feed import (
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.support.kafka.fixture import LocalKafka
from tests.support.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

EVENTS = 40


def lose_brokers(cluster: LocalKafka) -> None:
    """Kill the lone broker, and let it come back once the time of every transaction has passed."""
    cluster.kill()
    properties = cluster.folder / "broker-1" / "server.properties"
    # Long enough for its coordinator to begin, on any machine, while its former self counts.
    patient = re.sub(
        r"broker\.session\.timeout\.ms=.*",
        "broker.session.timeout.ms=12000",
        properties.read_text(),
    )
    properties.write_text(patient)
    # The transaction's own clock is what is waited for; no condition shows it.
    time.sleep(2 * SESSION_MS / 1000)
    cluster.restart()
    dropped = "these partitions are likely deleted already"
    assert dropped in (cluster.folder / "broker-1" / "log").read_text(), "no marker was dropped"


def hangs(app: App) -> bool:
    """Whether readers of committed records stop short of the end of an output."""
    outputs = [app.topic(role) for role in ("predictions", "examples", "models")]
    ends = app.kafka.end_offsets
    return any(ends(topic, committed=True) != ends(topic) for topic in outputs)


def offsets_hang(app: App) -> bool:
    """Whether nobody is told the group's offset of events in partition 0, for some seconds."""
    asker = Consumer({**app.kafka.config, "group.id": app.name, "log_level": 0})

    def ask() -> str | None:
        try:
            asker.committed([TopicPartition(app.events, 0)], timeout=5)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._TIMED_OUT:
                return "nobody is told"
            if error.args[0].code() in NO_COORDINATOR_YET:  # the broker has just come back
                return None
            raise
        return "told"

    try:
        return wait_until(ask, message="the broker knows the group") == "nobody is told"
    finally:
        asker.close()


def leave_a_transaction_open(app: App) -> None:
    """As another producer, over the first partition of the predictions and its offset of events."""
    stranger = Producer(
        {**app.kafka.config, "transactional.id": app.name, "transaction.timeout.ms": SESSION_MS}
    )
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(app.topic("predictions"), b"{}", b"0", 0)
    assert stranger.flush(30) == 0
    group = Consumer({**app.kafka.config, "group.id": app.name})
    stranger.send_offsets_to_transaction(
        [TopicPartition(app.events, 0, 0)], group.consumer_group_metadata()
    )
    group.close()


def late_app(kafka: Kafka, folder: Path) -> App:
    """An app with labels of its own topic, some events and their labels."""
    app = App(kafka, folder, labels={"from": "topic", "wait": "1h"})
    shorten_session(app)
    app.send(app.events, [event_of(number, label=False) for number in range(EVENTS)])
    app.send(app.labels, [label_of(number) for number in range(EVENTS // 2)])
    return app


def send_the_rest(app: App) -> None:
    more = range(EVENTS, EVENTS + 10)
    app.send(app.events, [event_of(number, label=False) for number in more])
    app.send(app.labels, [label_of(number) for number in range(EVENTS // 2, EVENTS + 10)])


def test_a_worker_that_died_with_the_broker_ends_its_own_hanging_transaction(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    """As where a machine with both loses its power."""
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = late_app(kafka, tmp_path)
    # Which markers a broker drops is a matter of moments: it may be those of the offsets alone.
    for batch in (2, 1, 1):
        with WorkerProcess(app.file, env={"MILLSTREAM_FAILPOINT": f"before_commit:{batch}"}) as one:
            one.wait(60)
        lose_brokers(own_cluster)
        if hangs(app):
            break
    assert hangs(app)
    with app.worker() as worker:
        send_the_rest(app)
        finish(app, worker, EVENTS + 10)
        assert "what this worker had left so is ended" in worker.log_text()
        assert "holds up a restore" not in worker.log_text(), "it had to wait for that first"
    assert not hangs(app)
    assert_each_event_has_one_prediction(app, EVENTS + 10, repeats=False)
    assert_each_event_was_learned_once(app, EVENTS + 10)
    assert released_digests(worker) == expected_digests(app)


def test_outputs_that_were_never_to_count_do_not_count_with_those_that_come_after_them(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    """Labels inside events: a restore reads no log of outputs, and no offsets hang to hold it up.

    Not in the first batch, which has notes for the models topic, that every restore reads.
    """
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(kafka, tmp_path)
    shorten_session(app)
    few, sent = 50, 50
    app.send(app.events, [event_of(number) for number in range(few)])
    for _ in range(3):  # which markers a broker drops is a matter of moments
        with WorkerProcess(app.file, env={"MILLSTREAM_FAILPOINT": "mid_produce:50"}) as doomed:
            doomed.wait_until(lambda: (kafka.committed(app.name, app.events) or 0) >= few)
            app.send(app.events, [event_of(sent + number) for number in range(4_000)])
            sent += 4_000
            doomed.wait(60)
        lose_brokers(own_cluster)
        if hangs(app):
            break
    assert hangs(app)
    with app.worker() as worker:
        finish(app, worker, sent)
    assert not hangs(app)
    assert_each_event_has_one_prediction(app, sent, repeats=False)


def test_a_worker_that_outlives_the_broker_leaves_no_transaction_of_its_own_open(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = late_app(kafka, tmp_path)
    asleep = {"MILLSTREAM_FAILPOINT": "before_commit:2:15"}
    with WorkerProcess(app.file, env=asleep) as worker:
        worker.wait_until(lambda: "sleeping at a failpoint" in worker.log_text())
        lose_brokers(own_cluster)
        assert hangs(app)
        send_the_rest(app)
        finish(app, worker, EVENTS + 10)
        assert "holds up a restore" not in worker.log_text(), "it had to wait for that first"
    assert not hangs(app)
    assert_each_event_has_one_prediction(app, EVENTS + 10, repeats=False)


def test_a_hanging_transaction_of_another_producer_is_named_and_other_partitions_go_on(
    own_cluster: LocalKafka, tmp_path: Path
) -> None:
    kafka = Kafka(own_cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    app = App(kafka, tmp_path, labels={"from": "topic", "wait": "1h"}, partitions=2)
    shorten_session(app)
    for _ in range(4):  # which markers a broker drops is a matter of moments
        leave_a_transaction_open(app)
        lose_brokers(own_cluster)
        if offsets_hang(app) and hangs(app):
            break
    assert offsets_hang(app)
    assert hangs(app)
    with app.worker() as worker:
        for partition in range(2):
            app.send(app.events, [event_of(partition, label=False)], partition=partition)
        worker.wait_until(
            lambda: kafka.committed(app.name, app.events, 1) == 1, timeout=120,
            message="partition 1 goes on",
        )  # fmt: skip
        worker.wait_until(
            lambda: "a transaction of another producer is open" in worker.log_text(), timeout=120
        )
        said = next(line for line in worker.log_text().splitlines() if "another producer" in line)
        assert "partition=0" in said
        assert app.topic("predictions") in said
        assert "__consumer_offsets" in said
        worker.sigkill()
