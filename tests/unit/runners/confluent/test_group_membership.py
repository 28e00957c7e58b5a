"""The decisions between the assignment of a partition and its release."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream.delivery.publisher import Aborted
from millstream.errors import Stop
from millstream.observability.metrics import Metrics
from millstream.runners.confluent import group_membership
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.state.partition import Partition, PartitionState
from millstream.state.restore_steps import NOTHING_RESTORED, RestoreResult


class FakeConsumer:
    """Records what is fetched."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[tuple[str, int]]]] = []

    def _call(self, name: str, places: list[TopicPartition]) -> None:
        self.calls.append((name, [(place.topic, place.partition) for place in places]))

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self._call("assign", places)

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        self._call("unassign", places)

    def pause(self, places: list[TopicPartition]) -> None:
        self._call("pause", places)

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return places


class FakeContext:
    """What a membership asks of the restore context before a restore begins."""

    claims = False
    late = True

    @property
    def bounds(self) -> "FakeContext":
        return self

    def ends(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return places


class FakeHooks:
    """Raises or blocks as the test says."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.blocked = False
        self.restores: list[int] = []
        self.released: list[list[int]] = []
        self.still_there: list[bool] = []
        self.membership: GroupMembership | None = None

    def before_restore(self, partition: int) -> None:
        self.restores.append(partition)
        if self.raises is not None:
            raise self.raises

    def while_restoring(
        self, _partition: int, _progress: object, _committed: Callable[[int], object]
    ) -> bool:
        return self.blocked

    def before_release(self, partitions: list[Partition]) -> None:
        assert self.membership is not None
        self.released.append([each.number for each in partitions])
        self.still_there += [each.number in self.membership.partitions for each in partitions]


class Scene:
    """A membership of an app with events and labels."""

    def __init__(self) -> None:
        self.consumer, self.hooks = FakeConsumer(), FakeHooks()
        topics: dict[Any, str] = {"events": "events", "labels": "labels"}
        parts: Any = (self.consumer, FakeContext(), topics, self.hooks, Metrics(), None)
        self.membership = self.hooks.membership = GroupMembership(*parts)

    def assign(self, *numbers: int) -> None:
        self.membership._on_assign(cast("Any", self.consumer), places(*numbers))


def places(*numbers: int) -> list[TopicPartition]:
    return [TopicPartition("events", number) for number in numbers]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_membership, "RETRY_SECONDS", 0.0)


def unknown_topic() -> KafkaException:
    return KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))


def test_labels_are_assigned_with_their_events_and_both_are_paused_until_restored(
    scene: Scene,
) -> None:
    scene.assign(3)
    both = [("events", 3), ("labels", 3)]
    assert scene.consumer.calls == [("assign", both), ("pause", both)]
    assert scene.membership.restored() == 0


def test_partitions_are_released_while_they_are_still_ours(scene: Scene) -> None:
    scene.assign(0, 1)
    scene.membership._on_revoke(cast("Any", scene.consumer), places(0))
    assert (scene.hooks.released, scene.hooks.still_there) == ([[0]], [True])
    assert list(scene.membership.partitions) == [1]
    assert scene.membership.losses == 0


def test_lost_partitions_are_dropped_without_last_snapshots_and_counted(scene: Scene) -> None:
    scene.assign(0, 1)
    scene.membership._on_lost(cast("Any", scene.consumer), places(0, 1))
    assert scene.hooks.released == []
    assert (scene.membership.losses, scene.membership.partitions) == (1, {})
    assert not scene.membership.restore_some(0.01), "nothing is left to restore"


@pytest.mark.parametrize("refusal", [Aborted("not now"), unknown_topic()])
def test_a_restore_that_has_to_wait_is_begun_again(scene: Scene, refusal: Exception) -> None:
    scene.assign(0)
    scene.hooks.raises = refusal
    while len(scene.hooks.restores) < 3:
        assert scene.membership.restore_some(0.01)
    assert scene.membership.partitions[0].restore is None


def test_a_topic_that_is_gone_for_long_stops_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_membership, "GONE_SECONDS", -1.0)
    scene.assign(0)
    scene.hooks.raises = unknown_topic()
    with pytest.raises(Stop, match="run millstream check"):
        scene.membership.restore_some(0.01)


def test_an_error_that_no_retry_ends_stops_the_worker(scene: Scene) -> None:
    scene.assign(0)
    scene.hooks.raises = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(Stop, match="partition 0 cannot be restored"):
        scene.membership.restore_some(0.01)


def test_a_restore_that_stays_blocked_goes_behind_the_others(scene: Scene) -> None:
    scene.assign(0, 1)
    scene.hooks.raises = Aborted("an open transaction")
    scene.hooks.blocked = True
    for _ in range(2):
        scene.membership.restore_some(0.01)
    assert set(scene.hooks.restores) == {0, 1}


def test_a_partition_is_restarted_once_and_only_while_it_is_ours(scene: Scene) -> None:
    scene.assign(0)
    ours, other = scene.membership.partitions[0], Partition(1)
    scene.membership.restart(ours)
    scene.membership.restart(other)
    assert list(scene.membership._queue) == [ours]


@pytest.mark.parametrize(("late", "commits"), [(True, 1), (False, 0)])
def test_a_new_owner_commits_its_epoch_only_where_labels_come_on_a_topic(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, late: bool, commits: int
) -> None:
    committed: list[object] = []
    monkeypatch.setattr(group_membership, "commit_offsets", lambda *given: committed.append(given))
    monkeypatch.setattr(scene.membership.flow, "begin", lambda *_: None)
    context: Any = scene.membership._restorer
    context.claims, context.late = True, late
    partition = Partition(0)
    partition.state = PartitionState.RESTORING
    processor: Any = SimpleNamespace(epoch=7)
    restore: Any = SimpleNamespace(all_committed=lambda: True)
    result = RestoreResult(processor, {"events": 3}, NOTHING_RESTORED)
    scene.membership._begin(partition, restore, result)
    assert len(committed) == commits
    assert partition.is_running
