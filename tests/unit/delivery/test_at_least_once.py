"""In which order a batch is handed to Kafka's client at least once: later restores rely on it.

The client is a recorder here, since what matters is what a crash between two calls can leave; that
restores cope with that is tested with real crashes (tests/integration, tests/faults).
"""

import threading
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from millstream.core.records.record import BatchResult, Output
from millstream.delivery import at_least_once
from millstream.delivery.at_least_once import AtLeastOnce
from millstream.delivery.publisher import OutputTopics
from millstream.delivery.retry import RetryPolicy

NAMES = OutputTopics("predictions", "examples", "models", "dead_letters")


class Recorder:
    """Producer and consumer."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def produce(self, topic: str, value: bytes, *_: object) -> None:
        self.calls.append(f"{topic} {value.decode()}")

    def flush(self, _seconds: float) -> int:
        self.calls.append("flush")
        return 0

    def memberid(self) -> str:
        return "member"

    def commit(self, **_: object) -> None:
        self.calls.append("commit")


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def publisher(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> AtLeastOnce:
    monkeypatch.setattr(at_least_once, "Producer", lambda _config: Recorder(calls))
    return AtLeastOnce({}, NAMES, RetryPolicy(threading.Event(), lambda: None))


def result(**outputs: str) -> BatchResult:
    """Outputs of each kind: one for each letter."""
    of_kinds: dict[str, Any] = {
        kind: [Output(None, letter.encode(), None) for letter in letters]
        for kind, letters in outputs.items()
    }
    return BatchResult(**of_kinds)


def commit(publisher: AtLeastOnce, calls: list[str]) -> None:
    consumer: Any = Recorder(calls)
    publisher.commit([TopicPartition("events", 0, 1)], "member", consumer)


def test_predictions_are_handed_over_piece_by_piece(
    publisher: AtLeastOnce, calls: list[str]
) -> None:
    publisher.write(0, result(predictions="a", examples="x"))
    publisher.write(0, result(predictions="b"))
    assert calls == ["predictions a", "predictions b"]
    commit(publisher, calls)
    assert calls[2:] == ["flush", "examples x", "flush", "commit"]


def test_predictions_behind_a_dead_letter_wait_until_it_stands(
    publisher: AtLeastOnce, calls: list[str]
) -> None:
    publisher.write(0, result(predictions="a"))
    publisher.write(0, result(predictions="b", dead_letters="bad", notes="n"))
    publisher.write(0, result(predictions="c"))
    assert calls == ["predictions a"]
    commit(publisher, calls)
    dead = [f"dead_letters {letter}" for letter in "bad"]
    written = ["models n", *dead, "flush", "predictions b", "predictions c", "flush", "commit"]
    assert calls[1:] == written
    publisher.write(0, result(predictions="d"))
    assert calls[-1] == "predictions d"


def test_what_is_on_its_way_arrives_before_a_restore_reads(
    publisher: AtLeastOnce, calls: list[str]
) -> None:
    publisher.write(0, result(predictions="a", examples="x"))
    publisher.write(0, result(dead_letters="b"))
    publisher.abort()
    assert calls == ["predictions a", "flush"]
    publisher.write(0, result(predictions="c"))
    assert calls[-1] == "predictions c"
    commit(publisher, calls)
    assert not any("dead_letters" in call or "examples" in call for call in calls)
