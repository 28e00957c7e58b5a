"""Where logs begin and end, as librdkafka tells it; `tests/integration` has it on a real broker."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream.errors import Stop
from millstream.kafka import watermarks
from millstream.kafka.log_reader import HOPELESS
from millstream.kafka.watermarks import Watermarks

PLACES = [TopicPartition("a", 0), TopicPartition("a", 1)]


class Client:
    """A consumer whose broker answers so."""

    answer: Any = None

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def list_topics(self, *_: Any, **__: Any) -> None:
        """The leaders of now."""

    def get_watermark_offsets(self, *_: Any, **__: Any) -> Any:
        if isinstance(self.answer, int):
            raise KafkaException(KafkaError(self.answer))
        return self.answer


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Watermarks:
    monkeypatch.setattr(watermarks, "Consumer", Client)
    return Watermarks({"isolation.level": "read_committed"})


def answer(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    monkeypatch.setattr(Client, "answer", told)


def test_open_transactions_are_below_the_end(
    bounds: Watermarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, (3, 7))
    assert bounds.of("a", 0) == (3, 7)
    assert [place.offset for place in bounds.ends(PLACES)] == [7, 7]
    assert bounds._consumer().config["isolation.level"] == "read_uncommitted"  # type: ignore[attr-defined] # a stand-in


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC])
def test_a_topic_that_a_waking_broker_does_not_know_yet_ends_no_worker(
    bounds: Watermarks, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Found by the fault matrix: a broker that was frozen while its partitions were restored."""
    answer(monkeypatch, code)
    with pytest.raises(KafkaException) as caught:
        bounds.of("a", 0)
    assert caught.value.args[0].code() not in HOPELESS
    assert [place.offset for place in bounds.ends(PLACES)] == [0, 0]


def test_a_command_says_in_a_sentence_what_cannot_be_read(
    bounds: Watermarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Stop, match="a partition 0 cannot be read: "):
        bounds.patiently("a", 0)
