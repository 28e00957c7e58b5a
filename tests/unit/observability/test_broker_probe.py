"""Silence of the brokers becomes an outage, which readiness, logs and the limit know of."""

import logging
import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.observability import broker_poll
from millstream.observability.broker_poll import BrokerPoll
from millstream.observability.broker_probe import BrokerProbe
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from tests.support.kafka.cluster import wait_until


class Client:
    """Answers, or does not."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers, self.closed = answers, threading.Event()

    def list_topics(self, _topic: str, timeout: float) -> None:
        del timeout
        if not self.answers:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {"app": "app", "kafka": {"bootstrap.servers": "nowhere:1"},
         "events": {"topic": "events", "id": "id", "label": "y"}, "labels": {"from": "event"},
         "model": {"river": "linear_model.Perceptron()"}, "recovery": {"max_outage": "10s"}}
    )  # fmt: skip


def ask(probe: BrokerProbe, *, answers: bool, times: int = 1) -> None:
    for _ in range(times):
        probe._ask(Client(answers=answers))  # type: ignore[arg-type] # a stand-in


def test_one_unanswered_question_is_no_outage_and_several_are(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    health, metrics = Health(), Metrics()
    health.set_shards(1, 1)
    probe = BrokerProbe(settings, health, metrics)
    ask(probe, answers=False)
    assert probe.seconds >= 1
    assert health.ready()
    with caplog.at_level(logging.WARNING):
        ask(probe, answers=False, times=5)
    assert "no broker has answered for" in str(health.why_not_ready())
    value = metrics.registry.get_sample_value("millstream_broker_silence_seconds")
    assert value == probe.seconds > 5
    assert [record.message for record in caplog.records] == [
        "no broker answers; the worker waits, and goes on by itself"
    ]
    ask(probe, answers=True)
    assert health.ready()
    assert probe.seconds == 0
    assert caplog.records[-1].message == "a broker answers again"


def test_an_outage_beyond_the_limit_ends_the_worker(settings: Settings) -> None:
    probe = BrokerProbe(settings, Health(), Metrics())
    probe.record(10)
    probe.turn()
    probe.record(11)
    with pytest.raises(Stop, match=r"for 11 s, .* recovery.max_outage \(10 s\)"):
        probe.turn()


def test_a_poll_asks_until_it_is_stopped_and_closes_its_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, asked = Client(), list[Any]()
    monkeypatch.setattr(broker_poll, "Consumer", lambda _: client)
    poll = BrokerPoll(settings, "poll", 0.01, asked.append)
    poll.start()
    wait_until(lambda: len(asked) > 1, message="it asks again")
    poll.stop()
    assert client.closed.is_set()
    assert set(asked) == {client}


def test_a_poll_that_never_started_stops(settings: Settings) -> None:
    BrokerPoll(settings, "poll", 0.01, print).stop()
