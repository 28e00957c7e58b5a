"""A worker closes everything that it opened, even if its start fails half-way."""

from typing import Any

import pytest

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import Settings
from millstream.delivery.at_least_once import AtLeastOnce
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.errors import Stop
from millstream.kafka.admin import TopicInfo
from millstream.observability.broker_probe import BrokerProbe
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent import assembly, worker
from millstream.runners.confluent.worker import Worker
from millstream.state.restore_context import KafkaRestoreContext
from millstream.state.snapshot_scheduler import SnapshotScheduler
from tests.support.apps import inline

OWNED = [
    (AtLeastOnce, "close"),
    (SnapshotScheduler, "close"),
    (KafkaRestoreContext, "close"),
    (BrokerProbe, "stop"),
    (TransactionalIdLease, "release"),
]
"""In the order in which a worker closes them, behind its consumer."""


class OneTurn:
    """A consumer that stops its worker as soon as it joins, and notes when it leaves."""

    def __init__(self, closed: list[str]) -> None:
        self.closed = closed
        self.worker: Worker | None = None

    def subscribe(self, *_: object, **__: object) -> None:
        assert self.worker is not None
        self.worker.stop()

    def close(self) -> None:
        self.closed.append("consumer")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of parts, as they are closed; no broker is asked anything."""
    names: list[str] = []

    def recording(kind: Any, method: str) -> None:
        original = getattr(kind, method)

        def close(self: Any) -> None:
            names.append(kind.__name__)
            original(self)

        monkeypatch.setattr(kind, method, close)

    for kind, method in OWNED:
        recording(kind, method)
    monkeypatch.setattr(worker, "connect", lambda _: None)
    monkeypatch.setattr(worker, "require_topics", lambda *_: None)
    monkeypatch.setattr(assembly, "topic_ids", lambda *_: {})
    monkeypatch.setattr(
        assembly, "describe", lambda _, topics, **__: {topic: TopicInfo(1, 1) for topic in topics}
    )
    return names


def made(new_consumer: Any) -> Worker:
    settings = Settings.model_validate(
        {
            **inline(),
            "processing_guarantee": "at_least_once",
            "kafka": {"bootstrap.servers": "127.0.0.1:1"},
        }
    )
    return Worker(settings, learner_factory(settings), Metrics(), Health(60), new_consumer)


def refuse(_: Settings) -> Any:
    raise Stop("no consumer")


def test_a_start_that_fails_half_way_closes_what_it_opened(closed: list[str]) -> None:
    with pytest.raises(Stop, match="no consumer"):
        made(refuse).run()
    assert closed == [kind.__name__ for kind, _ in OWNED]


def test_a_start_that_fails_at_its_publisher_gives_its_name_back(
    closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Stop("no producer")

    monkeypatch.setattr(AtLeastOnce, "__init__", refused)
    with pytest.raises(Stop, match="no producer"):
        made(refuse).run()
    assert closed == ["BrokerProbe", "TransactionalIdLease"]


def test_a_worker_that_ends_leaves_its_group_before_it_closes_the_rest(closed: list[str]) -> None:
    consumer = OneTurn(closed)
    consumer.worker = made(lambda _: consumer)
    consumer.worker.run()
    assert closed == ["consumer", *(kind.__name__ for kind, _ in OWNED)]
