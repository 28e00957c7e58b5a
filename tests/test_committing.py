"""A commit of offsets that never comes back does not keep the worker."""

import threading
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from millstream.runners import publish
from millstream.runners.publish import Aborted, commit_offsets


class Silent:
    """A consumer whose coordinator went silent; staged here, since librdkafka does it at random."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def memberid(self) -> str:
        return "somebody"

    def commit(self, **_: Any) -> None:
        self.answered.wait(60)


def test_a_commit_without_an_answer_aborts_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "COMMIT_SECONDS", 0.05)
    consumer: Any = Silent()
    with pytest.raises(Aborted, match=r"no answer to a commit of offsets within 0\.05 s"):
        commit_offsets(consumer, [TopicPartition("events", 0, 1)])
    consumer.answered.set()
    commit_offsets(consumer, [TopicPartition("events", 0, 1)])
