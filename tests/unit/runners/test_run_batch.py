"""One batch over any transport: limits, poison examples, the ratio of bad records, the commit."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from millstream.config.sections import BreakerSettings
from millstream.core.records.record import BatchResult, Output
from millstream.delivery.batch import Batch
from millstream.errors import DeadLetter, StateInvalid, Stop
from millstream.runners.poison_examples import MAX_POISON_IN_A_ROW
from millstream.runners.run_batch import BatchRunner, Chunk
from millstream.state.partition import Partition, Skips
from tests.support.partitions import running


class FakeProcessor:
    """Takes as many records as it may; raises where the test says."""

    def __init__(self) -> None:
        self.limits: list[int | None] = []
        self.raises: StateInvalid | None = None
        self.counts: dict[tuple[str, ...], int] = {}

    def process(self, records: Any, *rest: Any) -> BatchResult:
        if self.raises is not None:
            raise self.raises
        most = rest[-1]
        self.limits.append(most)
        taken = min(most, len(records["events"]))
        positions: Any = {"events": taken} if taken else {}
        return BatchResult(positions=positions, taken=taken, counts=dict(self.counts))

    def committed(self) -> None:
        self.limits.clear()


class FakeTransport:
    """Chunks of two partitions, and a log of the calls."""

    def __init__(self, *sizes: int) -> None:
        self.processor = FakeProcessor()
        processor = cast("Any", self.processor)
        self.partitions = [running(number, processor, {"events": 0}) for number in range(2)]
        self.sizes = sizes
        self.calls: list[Any] = []
        self.accepts = self.commits = True

    def chunks(self, batch: Batch, limit: int) -> Iterator[Chunk]:
        del batch, limit
        for size in self.sizes:
            for partition in self.partitions:
                records: Any = {"events": [None] * size}
                yield Chunk(partition, cast("Any", self.processor), records, {}, 0, None)

    def hand_over(self, batch: Batch, partition: Partition, result: BatchResult) -> bool:
        del batch
        self.calls.append((partition.number, result.taken))
        return self.accepts

    def abandon(self, batch: Batch) -> None:
        self.calls.append(("abandon", [each.number for each in batch.partitions()]))

    def restart(self, partition: Partition, skips: Skips) -> None:
        self.calls.append(("restart", partition.number, list(skips)))

    def commit(self, batch: Batch) -> bool:
        self.calls.append(("commit", batch.taken))
        return self.commits


def runner(stop_ratio: float | None = None) -> BatchRunner:
    return BatchRunner(BreakerSettings(stop_ratio=stop_ratio, window=10))


def invalid() -> StateInvalid:
    return StateInvalid("events", 7, DeadLetter("model_error", "ValueError"))


def test_the_limit_is_of_each_partition_and_counts_over_the_chunks() -> None:
    transport, batch = FakeTransport(3, 3), Batch("")
    assert runner().process(transport, batch, 5)
    assert transport.calls == [(0, 3), (1, 3), (0, 2), (1, 2)]
    assert transport.processor.limits == [5, 5, 2, 2]
    assert batch.taken == 10


def test_a_result_without_records_does_not_make_a_batch() -> None:
    batch = Batch("")
    assert runner().process(FakeTransport(0), batch, 5)
    assert not batch


def test_outputs_without_records_make_a_batch_though_handing_them_over_empties_them() -> None:
    """As of what expires by the clock: else it would be written and never committed."""
    transport, batch = FakeTransport(0), Batch("")
    expired = Output(b"key", b"{}", None)

    def process(*_: object) -> BatchResult:
        return BatchResult(examples=[expired])

    def hand_over(_batch: Batch, _partition: Partition, result: BatchResult) -> bool:
        result.clear_outputs()
        return True

    transport.processor.process = process  # type: ignore[method-assign] # no record is needed
    transport.hand_over = hand_over  # type: ignore[method-assign] # as the publisher does it
    assert runner().process(transport, batch, 5)
    assert batch.partitions() == transport.partitions


def test_a_model_that_raises_abandons_the_batch_and_restarts_without_the_example() -> None:
    transport, batch = FakeTransport(3), Batch("")
    batch.add(transport.partitions[1], BatchResult(positions={"events": 1}))
    transport.processor.raises = invalid()
    assert not runner().process(transport, batch, 5)
    assert transport.calls == [("abandon", [1]), ("restart", 0, [("events", 7)])]
    assert not batch


def test_outputs_that_are_not_accepted_abandon_the_batch() -> None:
    transport, batch = FakeTransport(3), Batch("")
    transport.accepts = False
    assert not runner().process(transport, batch, 5)
    assert transport.calls == [(0, 3), ("abandon", [])]


def test_a_model_that_raises_on_one_example_after_the_other_stops_the_worker() -> None:
    bad, transport = runner(), FakeTransport(3)
    transport.processor.raises = invalid()
    for _ in range(MAX_POISON_IN_A_ROW - 1):
        assert not bad.process(transport, Batch(""), 5)
    with pytest.raises(Stop, match="do its features and labels suit it"):
        bad.process(transport, Batch(""), 5)


def test_an_example_that_is_learned_and_committed_ends_the_row() -> None:
    tried, transport = runner(), FakeTransport(3)
    for learned in (True, False):
        transport.processor.raises = invalid()
        for _ in range(MAX_POISON_IN_A_ROW - 1):
            assert not tried.process(transport, Batch(""), 5)
        if learned:
            transport.processor.raises = None
            transport.processor.counts = {("learned",): 1}
            batch = Batch("")
            assert tried.process(transport, batch, 5)
            assert tried.commit(transport, batch)


def test_too_many_bad_records_stop_the_worker_before_they_are_committed() -> None:
    transport, batch = FakeTransport(5), Batch("")
    transport.processor.counts = {
        ("consumed", "events"): 5, ("dead_lettered", "event", "invalid_json"): 5,
    }  # fmt: skip
    assert runner(0.5).process(transport, batch, 5)
    with pytest.raises(Stop, match="invalid_json"):
        runner(0.5).commit(transport, batch)
    assert ("commit", 10) not in transport.calls


def test_a_label_without_a_prediction_is_no_bad_record() -> None:
    transport, batch = FakeTransport(5), Batch("")
    transport.processor.counts = {
        ("consumed", "labels"): 5, ("dead_lettered", "join", "unmatched"): 5,
    }  # fmt: skip
    assert runner(0.5).process(transport, batch, 5)
    assert runner(0.5).commit(transport, batch)


@pytest.mark.parametrize("commits", [True, False])
def test_skips_are_forgotten_once_they_are_committed(*, commits: bool) -> None:
    transport, batch = FakeTransport(3), Batch("")
    transport.commits = commits
    partition = transport.partitions[0]
    partition.skips["events", 1] = (DeadLetter("model_error", "x"), None)
    assert runner().process(transport, batch, 5)
    assert runner().commit(transport, batch) is commits
    assert bool(partition.skips) is not commits
