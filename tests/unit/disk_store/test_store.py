"""The store on disk answers as the one in memory does, whatever was asked of it before."""

import copy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from millstream.core.join.pending_store import CompletedId, MemoryPendingStore, PendingPrediction
from millstream.core.records.outputs import encode
from millstream.disk_store import new_store, segment_file, sorted_runs
from millstream.disk_store.store import DiskStore
from millstream.errors import Stop
from tests.support.pending_stores import queued

NAMES = st.sampled_from(["a", "b", "7", 7, "id with ü", "", "😀" * 40, -3])
TIMES = st.integers(-5, 40)


class Stores(RuleBasedStateMachine):
    """Both stores, asked the same; few hashes, small segments and short runs."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(segment_file, "SEGMENT", 2000)
        self.patch.setattr(segment_file, "BUFFER", 300)
        self.patch.setattr(segment_file, "GUESS", 100)
        self.patch.setattr(segment_file, "AHEAD", 1000)
        self.patch.setattr(sorted_runs, "RUN", 4)
        self.patch.setattr("millstream.disk_store.store.MAX_STALE", 3)
        self.disk = DiskStore(None, make_hash=len)
        self.memory = MemoryPendingStore()
        self.committed: MemoryPendingStore | None = None
        self.offset = 0

    def teardown(self) -> None:
        self.check()
        self.disk.close()
        self.patch.undo()

    @initialize(first_commit=st.booleans(), most_open=st.sampled_from([4, 1_000]))
    def begin(self, first_commit: bool, most_open: int) -> None:
        self.patch.setattr("millstream.disk_store.store.MOST_OPEN", most_open)
        if first_commit:
            self.commit()

    @rule(name=NAMES, time=TIMES, key=st.sampled_from([None, b"", b"k"]), size=st.integers(0, 900))
    def add(self, name: str | int, time: int, key: bytes | None, size: int) -> None:
        if str(name) in self.memory:
            return
        example = b'{"features": {"x": %d, "y": "%s"}}' % (time, b"z" * size)
        waiting = PendingPrediction(name, self.offset, time, time + 3, key, example)
        self.offset += 1
        for store in (self.disk, self.memory):
            store.add(waiting)

    @rule(name=NAMES)
    def take(self, name: str | int) -> None:
        assert (str(name) in self.disk) == (str(name) in self.memory)
        assert self.disk.take(str(name)) == self.memory.take(str(name))

    @rule(before=TIMES)
    def take_due(self, before: int) -> None:
        assert self.disk.take_due(before) == self.memory.take_due(before)

    @rule()
    def take_oldest(self) -> None:
        oldest = self.memory.oldest()
        assert self.disk.oldest() == oldest
        if oldest is not None:
            assert self.disk.take(str(oldest.id)) == self.memory.take(str(oldest.id))

    @rule(name=NAMES, back=st.integers(0, 3))
    def discard(self, name: str | int, back: int) -> None:
        for store in (self.disk, self.memory):
            store.discard(str(name), self.offset - back)

    @rule(name=NAMES, time=TIMES, at=TIMES, expired=st.booleans())
    def remember(self, name: str | int, time: int, at: int, expired: bool) -> None:
        for store in (self.disk, self.memory):
            store.remember(str(name), CompletedId(time, at, expired))

    @rule(name=NAMES)
    def recall(self, name: str | int) -> None:
        assert self.disk.recall(str(name)) == self.memory.recall(str(name))

    @rule()
    def forget_oldest(self) -> None:
        assert self.disk.oldest_resolved() == self.memory.oldest_resolved()
        if self.memory.remembered():
            self.disk.forget_oldest()
            self.memory.forget_oldest()

    @rule()
    def commit(self) -> None:
        self.disk.commit()
        self.committed = copy.deepcopy(self.memory)

    @precondition(lambda self: self.committed is not None and self.disk._can_roll_back)
    @rule()
    def rollback(self) -> None:
        assert self.disk.rollback()
        assert self.committed is not None
        self.memory = copy.deepcopy(self.committed)
        self.check()

    @precondition(lambda self: self.committed is None)
    @rule()
    def rollback_without_a_commit(self) -> None:
        assert not self.disk.rollback()

    @precondition(lambda self: not self.disk._can_roll_back)
    @rule()
    def rollback_of_more_than_a_batch_has(self) -> None:
        assert not self.disk.rollback()

    @rule()
    def clear(self) -> None:
        self.disk.clear()
        self.memory.clear()
        self.committed = None

    @invariant()
    def there_are_as_many(self) -> None:
        assert len(self.disk) == len(self.memory)
        assert self.disk.remembered() == self.memory.remembered()

    def check(self) -> None:
        assert self.disk.oldest() == self.memory.oldest()
        assert self.disk.oldest_resolved() == self.memory.oldest_resolved()


Stores.TestCase.settings = settings(max_examples=300, stateful_step_count=80, deadline=None)
TestBothStoresAnswerTheSame = Stores.TestCase


def waiting(number: int, **parts: Any) -> PendingPrediction:
    """A prediction of nine features."""
    features = {f"feature_{i}": number / (i + 1) for i in range(9)}
    example = encode({"features": features, "probabilities": {False: 0.25, True: 0.75}})
    return PendingPrediction(parts.get("id", f"id-{number}"), number, number, number, None, example)


def test_an_id_stays_the_number_or_the_text_that_it_was() -> None:
    store = DiskStore()
    for name in (7, "8", -9, 2**63, "7.0"):
        store.add(waiting(1, id=name))
        store.commit()
        found = store.take(str(name))
        assert found is not None
        assert (found.id, type(found.id)) == (name, type(name))


@pytest.mark.parametrize("committed", [False, True])
def test_a_prediction_is_due_as_soon_as_its_time_has_passed(committed: bool) -> None:
    """That none was due a moment ago is remembered, and must not hide it."""
    store = DiskStore()
    store.add(waiting(10))
    store.add(waiting(7))
    if committed:
        store.commit()
    assert store.take_due(7) is None
    assert store.take_due(8) == waiting(7)
    store.add(waiting(5))
    assert [store.take_due(time) for time in (5, 6)] == [None, waiting(5)]
    assert [store.take_due(time) for time in (10, 11, 99)] == [None, waiting(10), None]


def test_what_was_resolved_is_known_though_its_id_waited_again() -> None:
    """That an id is not there in one way is remembered from asking for it in the other."""
    store, resolved = DiskStore(), CompletedId(1, 1, expired=False)
    store.remember("id-1", resolved)
    store.add(waiting(1))
    store.commit()
    assert store.take("id-1") == waiting(1)
    assert store.recall("id-1") == resolved
    store.remember("id-1", resolved)
    assert store.remembered() == 1


def test_disk_space_is_used_again_while_one_prediction_after_the_other_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segment_file, "SEGMENT", 20_000)
    store = DiskStore()
    sizes = []
    for number in range(20_000):
        store.add(waiting(number))
        if number >= 100:
            assert store.take(f"id-{number - 100}") is not None
        if number % 50 == 0:
            store.commit()
            sizes.append(store.disk_bytes())
    assert len(store) == 100
    assert max(sizes) < 8 * 20_000


def test_what_is_read_in_the_order_in_which_it_came_is_read_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = DiskStore()
    for number in range(20_000):
        store.add(waiting(number))
    store.commit()
    reads, pread = [], segment_file.os.pread
    monkeypatch.setattr(segment_file.os, "pread", lambda *at: reads.append(at) or pread(*at))
    assert all(store.take(f"id-{number}") for number in range(10_000))
    assert len(reads) < 1_000


def test_a_segment_that_is_used_again_is_not_read_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segment_file, "SEGMENT", 2_000)
    monkeypatch.setattr(segment_file, "BUFFER", 100)
    file = segment_file.SegmentFile(None)
    for content in (b"a", b"b"):
        places = file.append([content * 200] * 20)
        file.append([b""])  # the last one is written, too
        assert {file.read(place) for place in places} == {content * 200}
        for place in places:
            file.count(place, -200)
        file.free_empty()


def test_disk_space_is_used_again_though_a_few_predictions_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segment_file, "SEGMENT", 20_000)
    store = DiskStore()
    for number in range(20_000):
        store.add(waiting(number))
        if number % 100:
            assert store.take(f"id-{number}") is not None
        if number % 50 == 0:
            store.commit()
    assert len(store) == 200
    assert store.disk_bytes() < 15 * 20_000
    for number in range(0, 20_000, 100):
        assert store.take(f"id-{number}") == waiting(number)


def test_a_prediction_whose_label_comes_in_the_same_batch_never_reaches_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = DiskStore()
    written: list[bytes] = []
    monkeypatch.setattr(
        segment_file.SegmentFile, "append", lambda _, records: written.extend(records)
    )
    for number in range(100):
        store.add(waiting(number))
        assert store.take(f"id-{number}") == waiting(number)
    store.commit()
    assert written == []


def test_a_restore_of_more_than_fits_into_memory_is_written_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It cannot be undone then, so the restore that follows a failure fills the store anew."""
    monkeypatch.setattr("millstream.disk_store.store.MOST_OPEN", 100)
    store = DiskStore()
    store.commit()
    for number in range(1_000):
        store.add(waiting(number))
        assert len(store._fresh) <= 100
    assert not store.rollback()
    assert len(store) == 1_000


def test_what_expired_by_the_clock_does_not_stay_in_the_queues() -> None:
    store = DiskStore()
    for number in range(20_000):
        store.add(waiting(number))
        if number >= 10:
            oldest = store.oldest()
            assert oldest is not None
            store.take(str(oldest.id))
        store.commit()
    assert queued(store) < 5_000


def test_a_folder_that_cannot_be_written_to_is_told_in_a_sentence(tmp_path: Any) -> None:
    with pytest.raises(Stop, match=r"kept in .*missing: No such file.*waiting\.directory"):
        new_store("disk", tmp_path / "missing")


def test_a_disk_that_is_full_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    store = DiskStore()
    monkeypatch.setattr(segment_file.os, "pwrite", full)
    monkeypatch.setattr(segment_file, "BUFFER", 1)
    store.add(waiting(1))
    with pytest.raises(Stop, match="No space left on device; make room there"):
        store.commit()


def test_no_file_is_left_in_the_folder(tmp_path: Any) -> None:
    store = DiskStore(tmp_path)
    for number in range(5_000):
        store.add(waiting(number))
    store.commit()
    assert store.disk_bytes() > 0
    assert list(tmp_path.iterdir()) == []
