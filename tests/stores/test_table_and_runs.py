"""The two structures that the store on disk is made of, against Python's own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.stores import runs, table
from millstream.stores.runs import RunQueue
from millstream.stores.table import HashTable

# Few keys beside each other at the table's end, so that they crowd, wrap around and repeat.
KEYS = st.integers(1, 6) | st.integers(1020, 1023) | st.integers(1, 2**63 - 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), KEYS, st.integers(0, 3)), max_size=120))
def test_a_table_holds_what_was_added_and_not_removed(steps: list[tuple[bool, int, int]]) -> None:
    made, model = HashTable(), dict[int, list[int]]()
    for add, key, value in steps:
        values = model.setdefault(key, [])
        if add:
            made.add(key, value)
            values.append(value)
        elif value in values:
            made.remove(key, value)
            values.remove(value)
        assert sorted(made.find(key)) == sorted(values)
    for key, values in model.items():
        assert sorted(made.find(key)) == sorted(values)
    assert len(made) == sum(map(len, model.values()))


@settings(max_examples=50, deadline=None)
@given(st.lists(KEYS, min_size=20, max_size=400), st.data())
def test_a_table_that_has_grown_holds_the_same(keys: list[int], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "SMALLEST", 8)
        made = HashTable()
        for number, key in enumerate(keys):
            made.add(key, number)
        gone = data.draw(st.sets(st.integers(0, len(keys) - 1)))
        for number in gone:
            made.remove(keys[number], number)
        for key in set(keys):
            left = {n for n, each in enumerate(keys) if each == key and n not in gone}
            assert set(made.find(key)) == left


ROWS = st.tuples(st.integers(-3, 8), st.integers(0, 3), st.integers(1, 2**63 - 1))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(ROWS, st.just("pop"), st.just("keep")), max_size=120))
def test_a_queue_gives_its_rows_in_order(steps: list[tuple[int, int, int] | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "RUN", 5)
        patch.setattr(runs, "BLOCK", 2)
        queue, model = RunQueue(), list[tuple[int, int, int]]()
        for step in steps:
            if step == "keep":
                queue.keep(lambda row: row[1] != 0)
                model = [row for row in model if row[1] != 0]
            elif step != "pop":
                queue.push(step)
                model.append(step)
            elif model:
                model.remove(min(model))
                queue.pop()
            assert len(queue) == len(model)
            assert queue.peek() == min(model, default=None)
        assert [queue.pop() for _ in range(len(queue))] == sorted(model)
