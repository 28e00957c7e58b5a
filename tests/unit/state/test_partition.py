"""The transitions of a partition, and what each of them keeps and discards."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.errors import DeadLetter
from millstream.state.partition import (
    ASSIGNED,
    INVALID,
    RELEASED,
    RESTORING,
    RUNNING,
    Partition,
    PartitionState,
    TransitionError,
)
from millstream.state.restore_steps import NOTHING_RESTORED, RestoreResult, Skips


class Store:
    """A retained store that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def committed(self, events: int) -> None:
        self.calls.append(events)

    def close(self) -> None:
        self.calls.append("close")


class Context:
    """As much of a restore context as the beginning of a restore needs."""

    late = False

    def __init__(self) -> None:
        self.stores: list[Store] = []
        self.reader = SimpleNamespace(records_read=0, close=lambda: None)
        self.settings: Any = SimpleNamespace(events=SimpleNamespace(topic="events"))

    def new_store(self) -> Store:
        self.stores.append(Store())
        return self.stores[-1]


class Processor:
    """Counts the commits that it hears of."""

    def __init__(self) -> None:
        self.commits = 0

    def committed(self) -> None:
        self.commits += 1


def result(processor: Any = None) -> RestoreResult:
    return RestoreResult(processor or Processor(), {"events": 7, "labels": 3}, NOTHING_RESTORED)


def restoring(partition: Partition, context: Any = None) -> None:
    partition.restoring(context or Context(), {"events": None}, None)


MOVES: dict[PartitionState, Callable[[Partition], None]] = {
    RESTORING: restoring,
    RUNNING: lambda partition: partition.ready(result()),
    INVALID: lambda partition: partition.invalidated(),
    RELEASED: lambda partition: partition.released(),
}
PATHS: dict[PartitionState, list[PartitionState]] = {
    ASSIGNED: [],
    RESTORING: [RESTORING],
    RUNNING: [RESTORING, RUNNING],
    INVALID: [INVALID],
    RELEASED: [RELEASED],
}
ALLOWED = {
    (ASSIGNED, RESTORING), (ASSIGNED, INVALID), (ASSIGNED, RELEASED),
    (RESTORING, RUNNING), (RESTORING, INVALID), (RESTORING, RELEASED),
    (RUNNING, INVALID), (RUNNING, RELEASED),
    (INVALID, RESTORING), (INVALID, INVALID), (INVALID, RELEASED),
}  # fmt: skip


def at(state: PartitionState) -> Partition:
    partition = Partition(0)
    for step in PATHS[state]:
        MOVES[step](partition)
    assert partition.state is state
    return partition


@pytest.mark.parametrize("to", MOVES)
@pytest.mark.parametrize("state", PartitionState)
def test_a_transition_is_made_if_the_table_has_it_and_refused_else(
    state: PartitionState, to: PartitionState
) -> None:
    partition = at(state)
    if (state, to) in ALLOWED:
        MOVES[to](partition)
        assert partition.state is to
    else:
        with pytest.raises(TransitionError, match=f"cannot be {to.value}: it is {state.value}"):
            MOVES[to](partition)
        assert partition.state is state


@pytest.mark.parametrize("state", PartitionState)
def test_a_processor_is_there_while_it_runs_and_a_restore_while_it_restores(
    state: PartitionState,
) -> None:
    partition = at(state)
    assert (partition.processor is not None) == partition.is_running == (state is RUNNING)
    assert (partition.restore is not None) == (state is RESTORING)
    assert partition.is_released == (state is RELEASED)


def test_it_runs_from_the_restored_positions_and_knows_no_end_of_its_logs() -> None:
    partition, ready = Partition(0), result()
    restoring(partition)
    partition.ready(ready)
    assert partition.positions == partition.fetched == {"events": 7, "labels": 3}
    assert partition.ends == {"events": -1, "labels": -1}
    partition.positions["events"] = 8
    assert partition.fetched["events"] == ready.positions["events"] == 7


def test_its_store_outlives_an_abort_and_is_closed_at_its_release() -> None:
    partition, context = Partition(0), Context()
    restoring(partition, context)
    partition.ready(result())
    partition.invalidated()
    restoring(partition, context)
    (store,) = context.stores
    assert store.calls == []
    partition.released()
    assert store.calls == ["close"]


def test_records_to_leave_out_are_collected_until_a_commit() -> None:
    partition = at(RUNNING)
    first: Skips = {("events", 1): (DeadLetter("model_error"), None)}
    second: Skips = {("events", 2): (DeadLetter("model_error"), None)}
    partition.invalidated(first)
    partition.invalidated(second)
    partition.invalidated()
    assert partition.skips == first | second
    restoring(partition)
    processor = Processor()
    partition.ready(result(processor))
    assert partition.skips == first | second
    partition.committed()
    assert partition.skips == {}
    assert processor.commits == 1


def test_a_store_that_cannot_be_made_leaves_the_state_as_it_was() -> None:
    def refuse() -> Store:
        raise OSError("disk full")

    partition, context = Partition(0), Context()
    context.new_store = refuse  # type: ignore[method-assign] # a store that fails
    with pytest.raises(OSError, match="disk full"):
        restoring(partition, context)
    assert partition.state is ASSIGNED
    restoring(partition)
