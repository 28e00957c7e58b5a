"""What happens when as many predictions wait, or labels are held, as may."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import Stop
from tests.support.processors import WAIT, Run, decoded, event, label, late_run, record, restored
from tests.unit.core.processing.test_delayed_labels import STREAM, as_records, in_time_order, live

pytestmark = pytest.mark.usefixtures("each_store")
EXPIRE = {"max_waiting": 2, "at_max": "expire_oldest"}


def test_the_worker_stops_before_the_event_that_would_be_one_too_many() -> None:
    run = late_run(max_waiting=2)
    run.feed(2, events=[event(i, i, i) for i in range(2)])
    with pytest.raises(Stop) as raised:
        run.feed(3, events=[event(2, 3, 2)])
    text = str(raised.value)
    assert text.startswith("2 predictions of partition 0 wait for their labels, and labels.max_")
    for name in ("topic labels", "labels.max_waiting", "labels.at_max to expire_oldest"):
        assert name in text


def test_what_makes_room_first_lets_it_go_on() -> None:
    run = late_run(max_waiting=2)
    run.feed(2, events=[event(i, i, i) for i in range(2)])
    run.feed(3, events=[event(2, 3, 2)], labels=[label(0, 3, 0)])
    assert run.kinds() == [("learned", 0)]
    assert run.processor.pending() == 2


def test_what_is_due_on_the_stream_makes_room() -> None:
    run = late_run(max_waiting=2)
    run.feed(2, events=[event(i, i, i) for i in range(2)])
    later = 10 * WAIT
    run.feed(later, events=[event(2, later - 1, 2)], labels=[label(0, later, 2)])
    assert run.kinds() == [("expired", 0), ("expired", 1), ("learned", 2)]


def test_what_is_due_by_the_clock_makes_room_once_the_broker_confirms_that_no_label_is_there() -> (
    None
):
    run = late_run(max_waiting=2)
    run.feed(2, events=[event(i, i, i) for i in range(2)])
    later = 10 * WAIT
    ends = {"events": True, "labels": True}
    records = {"events": [event(2, later, 2)], "labels": []}
    assert not run.processor.process(records, ends, later, {})
    nothing = {"events": [], "labels": []}
    result = run.processor.process(nothing, ends, later, {"labels": later})
    assert [each["kind"] for each in decoded(result.examples)] == ["expired", "expired"]
    assert len(result.predictions) == 1


def test_what_needs_no_room_is_taken_where_there_is_none() -> None:
    run = late_run(max_waiting=2)
    run.feed(0, labels=[label(0, 0, "early")])
    run.feed(2, events=[event(i, 1, i) for i in range(2)])
    run.feed(3, events=[event(2, 3, 0), record(3, b"junk", 3), event(4, 3, "early")])
    assert run.counts["repeated_id",] == 1
    assert run.reasons() == ["not_json"]
    assert run.kinds() == [("held", "early"), ("learned", "early")]


def test_the_one_whose_wait_ends_first_is_given_up_and_the_log_says_so() -> None:
    run = late_run(**EXPIRE)
    run.feed(50, events=[event(0, 30, "b"), event(1, 10, "a"), event(2, 40, "c")])
    (example,) = decoded(run.examples)
    assert (example["kind"], example["id"], example["early"]) == ("expired", "a", True)
    assert (example["label"], example["time"]) == (None, 40)
    assert run.counts["expired", "early"] == 1
    assert run.processor.pending() == 2


def test_the_label_of_one_that_was_given_up_early_is_late() -> None:
    run = late_run(**EXPIRE)
    run.feed(3, events=[event(i, i, i) for i in range(3)])
    run.feed(4, labels=[label(0, 4, 0)])
    assert run.reasons() == ["late"]


def test_what_is_given_up_early_is_not_learned_with_the_assumed_label() -> None:
    run = late_run(**EXPIRE, on_timeout={"assume": False})
    run.feed(3, events=[event(i, i, i) for i in range(3)])
    assert run.kinds() == [("expired", 0)]
    assert run.processor.learned == 0


def test_no_more_early_labels_are_held_than_predictions_may_wait() -> None:
    run = late_run(max_waiting=2)
    run.feed(2, labels=[label(i, i, i) for i in range(2)])
    with pytest.raises(Stop, match=r"2 labels of partition 0 are held for events that have not"):
        run.feed(3, labels=[label(2, 3, 2)])


def test_the_held_label_whose_wait_ends_first_is_given_up() -> None:
    run = late_run(**EXPIRE)
    run.feed(3, labels=[label(i, i, i) for i in range(3)])
    assert ("unmatched", 0) in run.kinds()
    assert run.reasons() == ["unmatched"]
    assert run.processor.early_labels() == 2


def test_no_more_ids_are_remembered_than_predictions_may_wait() -> None:
    run = late_run(max_waiting=2)
    for i in range(4):
        run.feed(i, events=[event(i, i, i)])
        run.feed(i, labels=[label(i, i, i)])
    assert run.processor.join.store.remembered() == 2
    assert run.processor.join.forgotten == 2
    run.feed(5, labels=[label(4, 5, 3), label(5, 5, 0)])
    assert run.counts["skipped", "duplicate_label"] == 1
    assert run.kinds()[-1] == ("held", 0)


def test_a_log_with_more_than_may_wait_today_is_restored_and_then_brought_down() -> None:
    run = late_run()
    run.feed(5, events=[event(i, i, i) for i in range(5)])
    fewer = Run(restored(run.predictions, [], dict(run.positions), **EXPIRE))
    assert fewer.processor.pending() == 5
    fewer.feed(6, events=[event(5, 6, 5)])
    assert fewer.kinds() == [("expired", i) for i in range(4)]
    assert fewer.processor.pending() == 2


@settings(max_examples=150, deadline=None)
@given(STREAM, st.integers(0, 60), st.integers(1, 5))
def test_a_shard_that_gives_up_early_goes_on_from_its_logs_like_one_that_never_stopped(
    steps: list[tuple[str, int, int]], cut: int, most: int
) -> None:
    options = {"max_waiting": most, "at_max": "expire_oldest"}
    stream = as_records(in_time_order(steps))
    whole = live(stream, **options)
    assert whole.processor.pending() <= most
    assert whole.processor.early_labels() <= most
    first = live(stream[:cut], **options)
    second = Run(restored(first.predictions, first.examples, dict(first.positions), **options))
    assert second.processor.pending() == first.processor.pending()
    for side, message, time in stream[cut:]:
        second.feed(time)
        second.feed(time, **{side: [message]})
    assert first.examples + second.examples == whole.examples
    assert first.predictions + second.predictions == whole.predictions
    assert second.processor.learner.digest() == whole.processor.learner.digest()
