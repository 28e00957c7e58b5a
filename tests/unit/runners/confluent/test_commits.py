"""The decisions about a batch that did not count: restart, rebuild the producer, or stop."""

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from millstream.config.settings import Settings
from millstream.core.records.record import BatchResult
from millstream.delivery.batch import Batch
from millstream.delivery.publisher import Aborted, ProducerLost
from millstream.errors import Stop
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent import commits
from millstream.runners.confluent.commits import BatchCommitter
from millstream.state.partition import Partition
from tests.support.apps import inline


class FakePublisher:
    """A publisher whose calls raise what the test sets; also the holder of itself."""

    name = "app-0"

    def __init__(self) -> None:
        self.current = self
        self.raises: Aborted | None = None
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.raises is not None:
            raise self.raises

    def write(self, _partition: int, _result: BatchResult) -> None:
        self._call("write")

    def commit(self, *_: object) -> None:
        self._call("commit")

    def abort(self) -> None:
        self._call("abort")

    def poll(self) -> None:
        """Nothing to serve."""

    def rebuild(self) -> None:
        self.calls.append("rebuild")


class FakeRepair:
    """Doubts a commit if the test says so."""

    def __init__(self) -> None:
        self.doubt = False
        self.aborted: list[int] = []

    def in_doubt(self, _began: float) -> bool:
        return self.doubt

    def abort_leftovers(self, partitions: Sequence[int]) -> None:
        self.aborted += partitions


class FakeMembership:
    """Two partitions; a fetch may show that the group took them."""

    def __init__(self) -> None:
        self.partitions = {number: Partition(number) for number in (0, 1)}
        self.restarted: list[int] = []
        self.losses = 0
        self.lost_at_fetch = False

    def restart(self, partition: Partition) -> None:
        self.restarted.append(partition.number)

    def offsets(self, partition: Partition) -> list[Any]:
        return [partition.number]

    def fetch(self, _limit: int, _timeout: float) -> list[Any]:
        self.losses += self.lost_at_fetch
        return []


class Member:
    """The consumer, as a member of its group."""

    def memberid(self) -> str:
        return "member"


class Scene:
    """A committer among fakes."""

    def __init__(self) -> None:
        self.publisher, self.repair = FakePublisher(), FakeRepair()
        self.membership = FakeMembership()
        self.stopping = threading.Event()
        self.batch = Batch("member")
        parts: Any = (self.publisher, self.repair, self.membership, Member())
        self.committer = BatchCommitter(
            Settings.model_validate(inline(kafka={"bootstrap.servers": "127.0.0.1:1"})),
            *parts,
            Metrics(),
            Health(60),
            self.stopping,
        )

    def process(self, number: int) -> None:
        result = BatchResult(positions={"events": 3}, taken=3)
        assert self.committer.write(self.batch, self.membership.partitions[number], result)
        self.batch.add(self.membership.partitions[number], result)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_batch_that_counts_restarts_nothing(scene: Scene) -> None:
    scene.process(0)
    assert scene.committer.commit(scene.batch)
    assert scene.membership.restarted == []
    assert scene.membership.partitions[0].committed_at > 0


def test_an_aborted_commit_restarts_the_partitions_of_the_batch_alone(scene: Scene) -> None:
    scene.process(1)
    scene.publisher.raises = Aborted("refused")
    assert not scene.committer.commit(scene.batch)
    assert scene.membership.restarted == [1]
    assert "rebuild" not in scene.publisher.calls


def test_outputs_that_are_refused_restart_their_partition_too(scene: Scene) -> None:
    scene.process(0)
    scene.publisher.raises = Aborted("refused")
    result = BatchResult(positions={"events": 1})
    assert not scene.committer.write(scene.batch, scene.membership.partitions[1], result)
    assert scene.membership.restarted == [0, 1]


def test_after_ten_aborts_in_a_row_the_worker_stops_and_a_commit_in_between_starts_anew(
    scene: Scene,
) -> None:
    scene.process(0)
    for _ in range(commits.MAX_ABORTS_IN_A_ROW - 1):
        scene.publisher.raises = Aborted("refused")
        assert not scene.committer.commit(scene.batch)
    scene.publisher.raises = None
    assert scene.committer.commit(scene.batch)
    scene.publisher.raises = Aborted("refused")
    for _ in range(commits.MAX_ABORTS_IN_A_ROW - 1):
        assert not scene.committer.commit(scene.batch)
    with pytest.raises(Stop, match="10 batches in a row"):
        scene.committer.commit(scene.batch)


def test_a_producer_that_was_lost_after_a_session_is_rebuilt(scene: Scene) -> None:
    scene.process(0)
    scene.publisher.raises = ProducerLost("timed out", seconds=1e6)
    assert not scene.committer.commit(scene.batch)
    assert scene.publisher.calls[-1] == "rebuild"
    assert scene.repair.aborted == [0]


def test_a_producer_that_was_fenced_because_the_group_went_on_without_us_is_rebuilt(
    scene: Scene,
) -> None:
    scene.process(0)
    scene.membership.lost_at_fetch = True
    scene.publisher.raises = ProducerLost("fenced", seconds=0.0)
    assert not scene.committer.commit(scene.batch)
    assert scene.publisher.calls[-1] == "rebuild"


def test_a_producer_that_was_fenced_by_another_worker_of_its_name_stops_the_worker(
    scene: Scene,
) -> None:
    scene.process(0)
    scene.stopping.set()  # nor is a session waited out for a worker that is to end
    scene.publisher.raises = ProducerLost("fenced", seconds=0.0)
    with pytest.raises(Stop, match="another worker runs under this one's transactional id, app-0"):
        scene.committer.commit(scene.batch)
    assert "rebuild" not in scene.publisher.calls


def test_a_commit_that_outlasted_its_brokers_does_not_count(scene: Scene) -> None:
    scene.process(1)
    scene.repair.doubt = True
    assert not scene.committer.commit(scene.batch)
    assert (scene.membership.restarted, scene.repair.aborted) == ([1], [1])


def test_offsets_that_have_not_moved_for_long_are_committed_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "OFFSETS_REFRESH_SECONDS", -1.0)
    scene.committer.turn()
    assert scene.publisher.calls == []  # neither partition is restored
    scene.membership.partitions[0].processor = cast("Any", object())
    scene.committer.turn()
    assert scene.publisher.calls == ["commit"]
