"""A store on disk outlives an aborted batch, and is believed only where the logs go on from it."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.progress import NOTHING, StoreProgress
from millstream.core.processing.replay import StateReplay
from millstream.core.records.record import Output, Record
from millstream.disk_store.store import DiskStore
from millstream.state.retained_store import RetainedStore
from tests.support.processors import Run, decoded, event, label, plan
from tests.unit.core.processing.test_delayed_labels import STREAM, as_records, in_time_order

OPTIONS = {"on_timeout": {"assume": False}, "max_waiting": 5, "at_max": "expire_oldest"}


class Worker:
    """A shard on disk with its logs; what is worked off counts when it is committed."""

    def __init__(self, *, fenced: bool = True) -> None:
        self.kept = RetainedStore(DiskStore(), fenced=fenced)
        self.run = Run(DelayedLabelProcessor(plan(**OPTIONS), store=self.kept.store))
        self.restore()

    def restore(self) -> StoreProgress:
        """As `runners.restore` does it."""
        run = self.run
        committed = dict(run.positions)
        known = self.kept.begin_restore(committed["events"])
        processor = DelayedLabelProcessor(plan(**OPTIONS), store=self.kept.store)
        fold = StateReplay(processor, committed, known=known)
        for offset, output in enumerate(run.examples):
            fold.example(as_record(offset, output))
        for offset in range(known.predictions, len(run.predictions)):
            fold.prediction(as_record(offset, run.predictions[offset]))
        fold.finish()
        self.kept.restored(
            StoreProgress(committed["events"], len(run.predictions), len(run.examples))
        )
        run.processor = processor
        return known

    def work(self, stream: list[tuple[str, Record, int]]) -> None:
        """Each record in a batch of its own, as `live` in `test_late` has it."""
        for side, message, time in stream:
            for records in ({}, {side: [message]}):
                self.run.feed(time, **records)
                self.kept.committed(self.run.positions["events"])

    def abort(self, stream: list[tuple[str, Record, int]]) -> None:
        """Work some off, and let none of it count."""
        for side, message, time in stream:
            records = {"events": [], "labels": [], side: [message]}
            self.run.processor.process(records, {"events": True, "labels": True}, time)


def as_record(offset: int, output: Output) -> Record:
    return Record(offset, 0, output.key, output.value, output.headers)


@settings(max_examples=150, deadline=None)
@given(STREAM, st.lists(st.tuples(st.integers(0, 25), st.integers(0, 12)), max_size=6))
def test_a_worker_that_aborts_batches_is_as_one_that_never_did(
    steps: list[tuple[str, int, int]], cuts: list[tuple[int, int]]
) -> None:
    stream = as_records(in_time_order(steps))
    calm, shaken = Worker(), Worker()
    calm.work(stream)
    at = 0
    for work, abort in cuts:
        shaken.work(stream[at : at + work])
        at += work
        shaken.abort(stream[at : at + abort])
        assert shaken.restore().events == shaken.run.positions["events"]
    shaken.work(stream[at:])
    assert shaken.run.predictions == calm.run.predictions
    assert shaken.run.examples == calm.run.examples
    assert shaken.run.processor.learner.digest() == calm.run.processor.learner.digest()
    assert shaken.run.processor.pending() == calm.run.processor.pending()
    assert shaken.run.processor.early_labels() == calm.run.processor.early_labels()


def test_a_batch_that_was_committed_though_the_worker_does_not_know_is_folded_on_top() -> None:
    worker = Worker()
    worker.work([("events", event(0, 0, "a"), 0), ("events", event(1, 1, "b"), 1)])
    result = worker.run.processor.process(
        {"events": [event(2, 2, "c")], "labels": [label(0, 2, "a")]},
        {"events": True, "labels": True}, 3,
    )  # fmt: skip
    worker.run.predictions += result.predictions
    worker.run.examples += result.examples
    worker.run.positions.update(result.positions)
    assert worker.restore().events == 2
    assert worker.run.processor.pending() == 2
    assert worker.run.processor.learned == 1
    worker.run.feed(4, labels=[label(1, 4, "a"), label(2, 4, "b"), label(3, 4, "c")])
    assert worker.run.kinds() == [("learned", "a"), ("learned", "b"), ("learned", "c")]
    assert worker.run.counts["skipped", "duplicate_label"] == 1


def test_an_offset_that_was_moved_back_empties_the_store() -> None:
    worker = Worker()
    worker.work([("events", event(i, i, i), i) for i in range(4)])
    worker.run.positions["events"] = 2
    assert worker.restore() == NOTHING
    assert worker.run.processor.pending() == 2
    assert set(worker.run.processor.replayed.predicted) == {2, 3}


def test_without_transactions_the_store_is_always_filled_anew() -> None:
    worker = Worker(fenced=False)
    worker.work([("events", event(i, i, i), i) for i in range(4)])
    assert worker.restore() == NOTHING
    assert worker.run.processor.pending() == 4


def test_a_restore_that_was_given_up_half_way_leaves_nothing_behind() -> None:
    worker = Worker()
    worker.work([("events", event(i, i, i), i) for i in range(3)])
    known = worker.kept.begin_restore(3)
    processor = DelayedLabelProcessor(plan(**OPTIONS), store=worker.kept.store)
    half = StateReplay(processor, {"events": 3, "labels": 0}, known=known)
    document = {**decoded(worker.run.predictions)[0], "id": "x"}
    half.prediction(Record(3, 0, None, orjson.dumps({**document, "source": {"offset": 7}}), None))
    assert worker.restore().events == 3
    assert worker.run.processor.pending() == 3


def test_a_store_that_outlives_a_batch_says_where_its_events_begin_though_the_offset_is_lost() -> (
    None
):
    known = StoreProgress(events=9, predictions=20, examples=4)
    fold = StateReplay(DelayedLabelProcessor(plan()), {"events": None, "labels": None}, known=known)
    assert fold.positions.next["events"] == 9
