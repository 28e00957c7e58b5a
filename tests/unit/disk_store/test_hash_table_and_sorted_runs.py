"""The structures that the store on disk is made of, against Python's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.disk_store import fifo_queue, hash_table, sorted_runs
from millstream.disk_store.fifo_queue import Fifo
from millstream.disk_store.hash_table import HashTable
from millstream.disk_store.sorted_runs import RunQueue

# Few keys beside each other at the table's end, so that they crowd, wrap around and repeat.
KEYS = st.integers(1, 6) | st.integers(1020, 1023) | st.integers(1, 2**63 - 1)


Batch = tuple[list[tuple[int, int]], list[int]]
BATCHES: st.SearchStrategy[list[Batch]] = st.lists(
    st.tuples(
        st.lists(st.tuples(KEYS, st.integers(0, 5)), max_size=40),
        st.lists(st.integers(0, 60), max_size=20, unique=True),
    ),
    max_size=6,
)


def assert_holds(made: HashTable, model: list[tuple[int, int]]) -> None:
    assert len(made) == len(model)
    for key in {key for key, _ in model} | {1, 2, 1023}:
        values = sorted(value for each, value in model if each == key)
        assert sorted(value for _, value in made.find(key)) == values
    keys = np.array([key for key, _ in model] + [1, 2, 1023], np.int64)
    for parity in (0, 1):
        expected = [any(k == key and v % 2 == parity for k, v in model) for key in keys.tolist()]
        assert made.contains(keys, parity).tolist() == expected


@pytest.mark.parametrize("few", [0, 3, 32])
@pytest.mark.parametrize("smallest", [8, 1024])
@settings(max_examples=200, deadline=None)
@given(batches=BATCHES)
def test_a_table_holds_what_was_added_and_not_removed(
    smallest: int, few: int, batches: list[Batch]
) -> None:
    """It grows on the way where it begins small; and NumPy does all but a few, or nearly none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_table, "SMALLEST", smallest)
        patch.setattr(hash_table, "FEW", few)
        patch.setattr(hash_table, "CHUNK", 16)
        made, model = HashTable(), list[tuple[int, int]]()
        for added, removed in batches:
            made.add([key for key, _ in added], [value for _, value in added])
            model += added
            gone = {number for number in removed if number < len(model)}
            slots = set[int]()
            for key, value in (model[number] for number in gone):
                slots.add(next(
                    slot for slot, held in made.find(key) if held == value and slot not in slots
                ))  # fmt: skip
            made.remove(list(slots))
            model = [each for number, each in enumerate(model) if number not in gone]
            assert_holds(made, model)


def test_an_entry_is_given_another_value_where_it_is() -> None:
    made = HashTable()
    made.add([5, 5], [10, 11])
    (slot,) = (slot for slot, value in made.find(5) if value == 11)
    made.replace(slot, 12)
    assert sorted(value for _, value in made.find(5)) == [10, 12]


ROWS = st.tuples(st.integers(-3, 8), st.integers(0, 3), st.integers(1, 2**63 - 1))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(ROWS, st.just("pop"), st.just("keep")), max_size=120))
def test_a_queue_gives_its_rows_in_order(steps: list[tuple[int, int, int] | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_runs, "RUN", 5)
        patch.setattr(sorted_runs, "BLOCK", 2)
        queue, model = RunQueue(), list[tuple[int, int, int]]()
        for step in steps:
            if step == "keep":
                queue.retain(lambda rows: rows[:, 1] != 0)
                model = [row for row in model if row[1] != 0]
            elif step != "pop":
                queue.push([step])
                model.append(step)
            elif model:
                model.remove(min(model))
                queue.pop()
            assert len(queue) == len(model)
            assert queue.peek() == min(model, default=None)
        assert [queue.pop() for _ in range(len(queue))] == sorted(model)


STEPS = st.sampled_from(["push", "push", "push", "pop", "pop", "commit", "rollback", "keep"])


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=80))
def test_what_comes_first_goes_first_and_comes_back_where_it_was_not_committed(
    steps: list[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fifo_queue, "BLOCK", 4)
        queue, model, taken = Fifo(), list[tuple[int, int]](), list[tuple[int, int]]()
        for number, step in enumerate(steps):
            if step == "push":
                queue.push([(number, -number)])
                model.append((number, -number))
            elif step == "pop" and model:
                queue.pop()
                taken.append(model.pop(0))
            elif step == "commit":
                queue.commit()
                taken.clear()
            elif step == "rollback":
                queue.rollback()
                model[:0] = taken
                taken.clear()
            elif step == "keep":
                queue.retain(lambda pairs: pairs[:, 0] % 3 > 0)
                model = [pair for pair in model if pair[0] % 3]
                taken.clear()
            assert len(queue) == len(model)
            assert queue.peek() == (model[0] if model else None)
