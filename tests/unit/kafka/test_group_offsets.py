"""The group's offsets and their owner, as the answers of brokers give them."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import InputName
from millstream.errors import Stop
from millstream.kafka import group_offsets
from millstream.kafka.group_offsets import OWNER, GroupOffsets, committed_offsets

TOPICS: dict[InputName, str] = {"events": "e", "labels": "l"}


class Place:
    """A `TopicPartition` as brokers answer it; ours cannot be given an error."""

    def __init__(self, offset: int, metadata: str | None = None, error: Any = None) -> None:
        self.offset, self.metadata, self.error = offset, metadata, error


class Group:
    """A consumer whose group has committed this."""

    def __init__(self, *places: Place) -> None:
        self.places = places
        self.asked: list[tuple[str, int]] = []

    def committed(self, asked: list[TopicPartition], **_: Any) -> tuple[Place, ...]:
        self.asked = [(each.topic, each.partition) for each in asked]
        return self.places


def offsets(*places: Place) -> Any:
    group: Any = Group(*places)
    answer = committed_offsets(group, TOPICS, 3)
    assert group.asked == [("e", 3), ("l", 3)]
    return answer


def test_an_input_without_a_commit_has_no_offset() -> None:
    assert offsets(Place(7), Place(-1001)) == ({"events": 7, "labels": None}, None)


@pytest.mark.parametrize("owners", [(5, 12), (12, 5)])
def test_the_newest_owner_counts_where_one_commit_is_older(owners: tuple[int, int]) -> None:
    places = [Place(1, f"{OWNER}{owner}") for owner in owners]
    assert offsets(*places) == ({"events": 1, "labels": 1}, 12)


def test_metadata_of_other_programs_names_no_owner() -> None:
    assert offsets(Place(1, "lag=5"), Place(2, ""))[1] is None


def test_an_error_of_one_input_fails_the_whole_answer() -> None:
    """Half of the offsets would make a restore begin in the wrong place."""
    with pytest.raises(KafkaException):
        offsets(Place(1), Place(-1001, error=KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)))


def test_a_command_gets_a_sentence_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Place(-1, error=KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    monkeypatch.setattr(group_offsets, "Consumer", lambda _config: Group(failed))
    settings = Settings.model_validate(
        {"app": "mine", "kafka": {"bootstrap.servers": "nowhere:1"},
         "events": {"topic": "e", "id": "id", "label": "y"}, "labels": {"from": "event"},
         "model": {"river": "linear_model.Perceptron()"}}
    )  # fmt: skip
    with pytest.raises(Stop, match="the offsets of group mine cannot be read: "):
        GroupOffsets(settings, {"events": "e"}).of(0)
