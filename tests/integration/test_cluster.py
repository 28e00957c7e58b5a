"""The fixture and its helpers do what the other tests take for granted."""

import os
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.kafka import fixture
from tests.support.kafka.cluster import Kafka, Send, wait_until
from tests.support.kafka.worker import WorkerProcess


@pytest.fixture
def topic(kafka: Kafka) -> str:
    name = kafka.unique("fixture")
    kafka.create_topics(name, partitions=2)
    return name


def test_what_is_produced_is_read_back_whole(kafka: Kafka, topic: str) -> None:
    headers = [("a", b"1"), ("a", None)]
    kafka.produce(
        topic, [Send("k", b'{"n": 1}', headers, 1_700_000_000_000, 1), (b"", None, None, None, 0)]
    )
    tombstone, message = kafka.read(topic)
    assert (tombstone.partition, tombstone.value, tombstone.headers) == (0, None, [])
    assert message[:5] == (1, 0, 1_700_000_000_000, b"k", b'{"n": 1}')
    assert message.headers == headers
    assert message.json == {"n": 1}
    assert kafka.read(topic, partition=0) == [tombstone]


def test_a_committed_read_sees_no_aborted_message_and_the_whole_last_transaction(
    kafka: Kafka, topic: str
) -> None:
    producer = Producer({**kafka.config, "transactional.id": topic})
    producer.init_transactions()
    for value, end in (
        (b"aborted", producer.abort_transaction),
        (b"committed", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush()
        end()
    assert [message.value for message in kafka.read(topic)] == [b"committed"]
    assert [m.value for m in kafka.read(topic, committed=False)] == [b"aborted", b"committed"]
    assert kafka.end_offsets(topic) == {0: 4, 1: 0}


def test_offsets_of_one_topic_are_forgotten_and_those_of_another_stay(
    kafka: Kafka, topic: str
) -> None:
    other = kafka.unique("fixture")
    kafka.create_topics(other)
    group = kafka.unique("group")
    consumer = Consumer({**kafka.config, "group.id": group})
    consumer.commit(
        offsets=[TopicPartition(topic, 1, 7), TopicPartition(other, 0, 3)], asynchronous=False
    )
    consumer.close()
    assert kafka.committed(group, topic, 1) == 7
    kafka.delete_group_offsets(group, [topic])
    assert kafka.committed(group, topic, 1) is None
    assert kafka.committed(group, other) == 3


def test_a_condition_that_never_holds_fails_with_its_message() -> None:
    with pytest.raises(AssertionError, match="pigs fly"):
        wait_until(lambda: False, timeout=0.1, message="pigs fly")


def test_without_a_broker_and_java_the_tests_are_skipped_but_fail_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="KAFKA_BOOTSTRAP_SERVERS"):
        next(fixture.session_kafka())
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Java"):
        next(fixture.session_kafka())


@pytest.fixture
def sleeper(tmp_path: Path) -> WorkerProcess:
    worker = WorkerProcess(tmp_path / "settings.yaml")
    worker.command = [
        sys.executable,
        "-c",
        "import sys\nprint('ready')\nsys.stdin.close()\nimport signal\nsignal.pause()",
    ]
    return worker


def test_a_worker_process_is_gone_after_its_block_even_when_it_was_frozen(
    sleeper: WorkerProcess,
) -> None:
    with sleeper as worker:
        worker.wait_for_log("ready")
        worker.sigstop()
        pid = worker.process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_waiting_for_a_worker_that_has_ended_fails_at_once_with_its_log(
    sleeper: WorkerProcess,
) -> None:
    sleeper.command[2] = "raise SystemExit('out of order')"
    with sleeper as worker, pytest.raises(AssertionError, match="out of order"):
        worker.wait_until(lambda: False, timeout=60)
