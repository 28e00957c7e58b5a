"""Labels that come late, early, twice, never, or from the future."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.records.outputs import owner_record
from millstream.core.records.record import Output
from millstream.errors import StateInvalid, Stop
from tests.support.pending_stores import queued
from tests.support.processors import (
    HOUR,
    WAIT,
    Run,
    decoded,
    event,
    label,
    late_run,
    plan,
    record,
    restored,
)

pytestmark = pytest.mark.usefixtures("each_store")

MONTH = 30 * 24 * HOUR
NOW = 2 * MONTH
YEAR_2099 = 4_070_908_800_000


def test_a_label_joins_the_features_as_they_were_at_prediction_time() -> None:
    run = late_run()
    run.feed(100, events=[event(0, 100, "a", x=3.5)])
    run.feed(200, labels=[label(0, 200, "a")])
    (example,) = decoded(run.examples)
    assert example["kind"] == "learned"
    assert example["features"] == {"a": 3.5, "b": 1.0}
    assert example["event"] == {"offset": 0, "time": 100}
    assert example["label_source"] == {"offset": 0, "time": 200}
    assert run.processor.learned == 1
    assert run.processor.pending() == 0


def test_a_label_from_2099_expires_nothing() -> None:
    run = late_run()
    run.feed(NOW, events=[event(0, NOW - MONTH, "old"), event(1, NOW, "new")])
    run.feed(NOW + 1, labels=[label(0, YEAR_2099, "someone else")])
    assert run.processor.pending() == 2
    run.feed(NOW + 2, labels=[label(1, NOW - MONTH + 1, "old"), label(2, NOW + 1, "new")])
    assert run.kinds() == [("held", "someone else"), ("learned", "old"), ("learned", "new")]


def test_a_message_whose_time_cannot_be_read_expires_nothing() -> None:
    run = late_run(timestamp="at")
    run.feed(NOW, events=[event(0, NOW - MONTH, "old")])
    run.feed(NOW + 1, labels=[record(0, b"junk", NOW), record(1, None, NOW)])
    assert run.processor.pending() == 1
    timely = record(2, {"id": "old", "label": True, "at": NOW - MONTH + 1}, NOW)
    run.feed(NOW + 2, labels=[timely])
    assert run.kinds() == [("learned", "old")]


def test_events_backfilled_before_their_labels_do_not_expire() -> None:
    run = late_run()
    began = NOW - MONTH
    run.feed(NOW, events=[event(i, began + i * 10, i) for i in range(50)])
    run.feed(NOW + WAIT // 2)
    assert run.processor.pending() == 50
    run.feed(NOW + WAIT // 2, labels=[label(i, began + i * 10 + 5, i) for i in range(50)])
    assert run.kinds() == [("learned", i) for i in range(50)]


def test_a_worker_that_was_down_for_long_expires_nothing_whose_timely_label_lies_in_the_topic() -> (
    None
):
    run = late_run()
    run.feed(200, events=[event(i, i * 10, i) for i in range(20)])
    long_after = 1000 * WAIT
    run.feed(long_after, labels=[label(i, i * 10 + WAIT, i) for i in range(20)])
    assert run.kinds() == [("learned", i) for i in range(20)]


def test_what_waits_is_not_given_up_before_the_labels_topic_was_read_to_its_end() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    run.feed(1000 * WAIT, at_end=(True, False))
    assert run.processor.pending() == 1


def test_a_label_at_the_deadline_joins_and_one_later_is_late() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a"), event(1, 0, "b")])
    run.feed(5 * WAIT, labels=[label(0, WAIT, "a"), label(1, WAIT + 1, "b")])
    assert run.kinds() == [("learned", "a"), ("expired", "b")]
    assert run.reasons() == ["late"]
    assert run.processor.learned == 1


def test_expiry_goes_on_while_nothing_arrives() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    run.feed(WAIT)
    assert run.processor.pending() == 1
    run.feed(WAIT + 1)
    assert run.kinds() == [("expired", "a")]


def test_predictions_expire_in_the_order_of_their_deadlines() -> None:
    run = late_run()
    events = [event(0, 30, "late"), event(1, 10, "early"), event(2, 20, "middle")]
    for each in events:
        run.feed(40, events=[each])
    run.feed(10 * WAIT, labels=[label(0, 5 * WAIT, "nobody")])
    assert [name for kind, name in run.kinds() if kind == "expired"] == ["early", "middle", "late"]


def test_an_expired_prediction_is_learned_with_the_assumed_label() -> None:
    run = late_run(on_timeout={"assume": False})
    run.feed(0, events=[event(0, 0, "a")])
    result = run.feed(WAIT + 1)
    (example,) = decoded(result.examples)
    assert (example["kind"], example["label"], example["learned"]) == ("expired", False, 1)
    assert run.processor.learned == 1


def test_an_early_label_is_held_and_learned_after_its_event_was_predicted() -> None:
    run = late_run()
    run.feed(10, labels=[label(0, 10, "a")])
    assert run.processor.early_labels() == 1
    result = run.feed(20, events=[event(0, 20, "a")])
    assert decoded(result.predictions)[0]["model"]["learned"] == 0
    assert run.kinds() == [("held", "a"), ("learned", "a")]
    assert run.processor.early_labels() == 0


def test_an_unmatched_label_ends_in_dead_letters_after_its_wait_with_its_own_bytes() -> None:
    run = late_run()
    odd = record(0, b'{"id":  "a", "label": true}', 10, key=b"\xff\x00", headers=[("h", None)])
    run.feed(10, labels=[odd])
    run.feed(10 + WAIT)
    assert run.dead_letters == []
    run.feed(11 + WAIT)
    (letter,) = run.dead_letters
    assert (letter.key, letter.value) == (odd.key, odd.value)
    assert letter.headers is not None
    assert letter.headers[0] == ("h", None)
    assert run.reasons() == ["unmatched"]


def test_a_held_label_is_not_given_up_before_events_were_read_past_its_deadline() -> None:
    run = late_run()
    run.feed(10, labels=[label(0, 10, "a")])
    run.feed(100 * WAIT, at_end=(False, True))
    assert run.processor.early_labels() == 1
    run.feed(100 * WAIT, events=[event(0, 10 + WAIT, "a")])
    assert run.kinds() == [("held", "a"), ("learned", "a")]


def test_a_duplicate_label_never_learns_twice() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    run.feed(10, labels=[label(0, 5, "a"), label(1, 6, "a", value=False)])
    run.feed(20, labels=[label(2, 20, "a")])
    assert run.processor.learned == 1
    assert run.counts["skipped", "duplicate_label"] == 2
    assert run.dead_letters == []


def test_a_duplicate_of_a_held_label_is_skipped_and_the_first_counts() -> None:
    run = late_run()
    run.feed(0, labels=[label(0, 0, "a", value=False), label(1, 1, "a", value=True)])
    run.feed(2, events=[event(0, 2, "a")])
    assert decoded(run.examples)[-1]["label"] is False
    assert run.counts["skipped", "duplicate_label"] == 1


def test_an_id_that_comes_again_while_it_waits_is_predicted_and_the_label_joins_the_first() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a", x=1.0), event(1, 1, "a", x=2.0)])
    assert [prediction["waits"] for prediction in decoded(run.predictions)] == [True, False]
    assert run.counts["repeated_id",] == 1
    run.feed(2, labels=[label(0, 2, "a")])
    assert decoded(run.examples)[0]["features"]["a"] == 1.0
    run.feed(3, labels=[label(1, 3, "a")])
    assert run.processor.learned == 1


def test_a_text_id_and_the_same_number_are_one_id() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, 7)])
    run.feed(1, labels=[label(0, 1, "7")])
    assert run.processor.learned == 1


def test_a_label_tombstone_is_a_counted_skip() -> None:
    run = late_run()
    run.feed(0, labels=[record(0, None, 0)])
    assert run.counts["skipped", "tombstone"] == 1
    assert run.positions["labels"] == 1


def test_a_bad_label_is_one_dead_letter_and_its_prediction_goes_on_waiting() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    run.feed(1, labels=[label(0, 1, "a", value="perhaps"), label(1, 1, "a")])
    assert run.reasons() == ["label_type"]
    assert run.kinds() == [("learned", "a")]


def test_a_label_of_the_same_time_as_an_event_comes_first() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    result = run.feed(50, events=[event(1, 50, "b")], labels=[label(0, 50, "a")])
    assert decoded(result.predictions)[0]["model"]["learned"] == 1


def test_an_empty_side_is_waited_for_as_long_as_the_settings_say() -> None:
    run = late_run(max_idle=100)
    assert not run.feed(1000, events=[event(0, 0, "a")])
    assert not run.feed(1099)
    assert run.feed(1100).predictions


def test_one_side_is_not_taken_while_the_other_is_still_being_fetched() -> None:
    run = late_run()
    assert not run.feed(1000, events=[event(0, 0, "a")], at_end=(True, False))
    assert run.processor.backlog("events") == 1


def test_a_model_that_breaks_on_an_example_asks_for_a_restore_and_then_passes_it_over() -> None:
    class BrokenError(Exception):
        pass

    run = late_run()
    run.feed(0, events=[event(0, 0, "a"), event(1, 0, "b")])

    def explode(*_: object) -> None:
        raise BrokenError

    run.processor.learner.learn = explode
    with pytest.raises(StateInvalid) as raised:
        run.feed(1, labels=[label(0, 1, "a")])
    assert (raised.value.side, raised.value.offset) == ("examples", 0)
    skips = {("examples", 0): raised.value.skip}
    again = Run(restored(run.predictions, [], {"events": 2, "labels": 0}, skips=skips))
    again.feed(2, labels=[label(0, 1, "a"), label(1, 2, "b")])
    assert again.kinds() == [("failed", "a"), ("learned", "b")]
    assert again.reasons() == ["learn_error"]
    assert again.processor.learned == 1
    refolded = restored(run.predictions, again.examples, {"events": 2, "labels": 2})
    assert refolded.learner.digest() == again.processor.learner.digest()


def test_a_label_too_large_to_be_held_is_a_dead_letter() -> None:
    run = late_run()
    huge = record(0, {"id": "a", "label": True, "note": "x" * 800_000}, 0)
    run.feed(0, labels=[huge])
    assert run.reasons() == ["too_large"]
    assert run.processor.early_labels() == 0


# -- properties ---------------------------------------------------------------------------------

IDS = st.integers(0, 12)
STREAM = st.lists(
    st.tuples(st.sampled_from(["events", "labels"]), IDS, st.integers(0, 400)),
    min_size=1, max_size=60,
)  # fmt: skip


def in_time_order(steps: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """(side, id, time) as a live worker meets them: by time, labels first."""
    clock, timed = 0, []
    for side, identity, gap in steps:
        clock += gap
        timed.append((side, identity, clock))
    return sorted(timed, key=lambda each: (each[2], each[0] == "events"))


def as_records(stream: list[tuple[str, int, int]]) -> list[tuple[str, object, int]]:
    offsets = {"events": 0, "labels": 0}
    made = []
    for side, identity, time in stream:
        offset = offsets[side]
        offsets[side] += 1
        message = (
            event(offset, time, identity)
            if side == "events"
            else label(offset, time, identity, value=identity % 2 == 0)
        )
        made.append((side, message, time))
    return made


def live(stream: list[tuple[str, object, int]], **options: object) -> Run:
    """Each record by itself; the idle turns between two of them are one just before the second."""
    run = late_run(**options)
    for side, message, time in stream:
        run.feed(time)
        run.feed(time, **{side: [message]})
    return run


def without_clock(outputs: list[Output]) -> list[dict[str, object]]:
    records = decoded(outputs)
    for each in records:
        each.pop("predicted_at", None)
        each.pop("written_at", None)
    return records


@settings(max_examples=150, deadline=None)
@given(STREAM, st.lists(st.integers(1, 20), max_size=30))
def test_a_backlog_gives_the_examples_predictions_and_weights_of_a_live_run(
    steps: list[tuple[str, int, int]], chunks: list[int]
) -> None:
    # A last label of its own, so that the stream's time reaches past every deadline in both runs.
    end = sum(gap for _, _, gap in steps) + 10 * WAIT
    stream = as_records([*in_time_order(steps), ("labels", 99, end)])
    expected = live(stream, on_timeout={"assume": False})
    backlog = late_run(on_timeout={"assume": False})
    left = {side: [m for s, m, _ in stream if s == side] for side in ("events", "labels")}
    turn = 0
    while left["events"] or left["labels"]:
        size = chunks[turn % len(chunks)] if chunks else 7
        side = ("events", "labels")[turn % 2]
        batch, left[side] = left[side][:size], left[side][size:]
        ends = (not left["events"], not left["labels"])
        backlog.feed(end + 1, **{side: batch}, at_end=ends)
        turn += 1
    learned = ("learned", "expired")
    assert [e for e in without_clock(backlog.examples) if e["kind"] in learned] == [
        e for e in without_clock(expected.examples) if e["kind"] in learned
    ]
    assert without_clock(backlog.predictions) == without_clock(expected.predictions)
    assert backlog.processor.learner.digest() == expected.processor.learner.digest()


@settings(max_examples=150, deadline=None)
@given(STREAM, st.integers(0, 60))
def test_a_shard_folded_from_its_logs_at_any_moment_goes_on_like_one_that_never_stopped(
    steps: list[tuple[str, int, int]], cut: int
) -> None:
    stream = as_records(in_time_order(steps))
    whole = live(stream)
    first = live(stream[:cut])
    second = Run(restored(first.predictions, first.examples, dict(first.positions)))
    assert second.processor.learner.digest() == first.processor.learner.digest()
    assert second.processor.pending() == first.processor.pending()
    for side, message, time in stream[cut:]:
        second.feed(time)
        second.feed(time, **{side: [message]})
    assert first.examples + second.examples == whole.examples
    assert first.predictions + second.predictions == whole.predictions
    assert second.processor.learner.digest() == whole.processor.learner.digest()


def test_a_label_that_was_skipped_is_no_early_one_after_a_crash() -> None:
    """It left no record, and the label that it repeated is no longer held."""
    steps = [
        ("events", 0, 0), ("events", 0, 0), ("labels", 0, 0), ("labels", 7, 0), ("labels", 1, 0),
        ("events", 0, 313), ("labels", 1, 313), ("events", 1, 375),
    ]  # fmt: skip
    stream = as_records(in_time_order(steps))
    whole = live(stream)
    again = Run(restored(whole.predictions, whole.examples, {"events": 0, "labels": 0}))
    for side, message, time in stream:
        again.feed(time)
        again.feed(time, **{side: [message]})
    assert not again.examples
    assert again.processor.learned == whole.processor.learned


@settings(max_examples=200, deadline=None)
@given(STREAM, st.integers(0, 59), st.integers(1, 20), st.data())
def test_at_least_once_a_crash_between_outputs_and_offsets_learns_nothing_twice(
    steps: list[tuple[str, int, int]], cut: int, size: int, data: st.DataObject
) -> None:
    """Predictions are flushed before examples, so what may be there is a prefix of that order."""
    stream = as_records(in_time_order(steps))
    whole = live(stream)
    crashed = live(stream[:cut])
    committed = dict(crashed.positions)
    predictions, examples = len(crashed.predictions), len(crashed.examples)
    for side, message, time in stream[cut : cut + size]:
        crashed.feed(time)
        crashed.feed(time, **{side: [message]})
    written = data.draw(st.integers(predictions, len(crashed.predictions)), "predictions")
    kept = examples
    if written == len(crashed.predictions):
        kept = data.draw(st.integers(examples, len(crashed.examples)), "examples")
    before = crashed.examples[:kept]
    again = Run(restored(crashed.predictions[:written], before, dict(committed)))
    for side, message, time in stream[cut:]:
        again.feed(time)
        again.feed(time, **{side: [message]})

    def folded(outputs: list[Output]) -> list[tuple[object, object, object]]:
        return [
            (e["kind"], e["id"], e.get("label")) for e in decoded(outputs)
            if e["kind"] in {"learned", "expired"}
        ]  # fmt: skip

    assert folded(before + again.examples) == folded(whole.examples)
    assert again.processor.learner.digest() == whole.processor.learner.digest()
    offsets = {p["source"]["offset"] for p in decoded(crashed.predictions[:written])}
    offsets |= {p["source"]["offset"] for p in decoded(again.predictions)}
    assert offsets == {p["source"]["offset"] for p in decoded(whole.predictions)}


def test_records_of_an_owner_that_was_replaced_do_not_count() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a"), event(1, 0, "b")])
    run.feed(1, labels=[label(0, 1, "a")])
    zombie = Run(restored(run.predictions, run.examples, dict(run.positions)))
    zombie.feed(2, labels=[label(1, 2, "b", value=False)])
    new_owner = Run(DelayedLabelProcessor(plan(), epoch=5))
    new_owner.processor = restored(
        run.predictions, [*run.examples, owner_record(5, 0, 2)], dict(run.positions)
    )
    assert new_owner.processor.epoch == 5
    new_owner.feed(3, labels=[label(1, 2, "b", value=True)])
    log = [*run.examples, owner_record(5, 0, 2), *zombie.examples, *new_owner.examples]
    folded = restored(run.predictions, log, {"events": 2, "labels": 2})
    assert folded.learner.digest() == new_owner.processor.learner.digest()


def test_a_training_log_that_lost_its_beginning_stops_with_a_sentence() -> None:
    run = late_run()
    run.feed(0, events=[event(i, 0, i) for i in range(3)])
    run.feed(1, labels=[label(i, 1, i) for i in range(3)])
    with pytest.raises(Stop, match="lost its beginning"):
        restored(run.predictions, run.examples[1:], {"events": 3, "labels": 3})


# -- what an attack found -------------------------------------------------------------------------


def test_in_a_backlog_one_label_from_2099_expires_nothing_and_holds_nothing_up() -> None:
    run = late_run()
    began = NOW - 5_000_000
    events = [event(i, began + i * 100, i) for i in range(50)]
    labels = [label(i + 1, began + i * 100 + 50, i) for i in range(50)]
    run.feed(NOW, events=events, labels=[label(0, YEAR_2099, "x"), *labels])
    assert [name for kind, name in run.kinds() if kind == "learned"] == list(range(50))
    assert run.reasons() == []


def test_in_a_backlog_one_event_from_2099_loses_no_label() -> None:
    run = late_run()
    began = NOW - 5_000_000
    events = [event(i + 1, began + i * 100, i) for i in range(50)]
    labels = [label(i, began + i * 100 + 50, i) for i in range(50)]
    run.feed(NOW, events=[event(0, YEAR_2099, "x"), *events], labels=labels)
    assert [name for kind, name in run.kinds() if kind == "learned"] == list(range(50))
    assert run.reasons() == []


def test_a_label_without_any_time_expires_nothing() -> None:
    run = late_run()
    run.feed(NOW, events=[event(0, NOW - MONTH, "a")])
    run.feed(NOW, labels=[label(0, -1, "z"), label(1, NOW - MONTH + 10, "a")])
    assert ("learned", "a") in run.kinds()


def test_how_long_an_empty_side_is_waited_for_counts_from_its_last_record() -> None:
    run = late_run(max_idle=100)
    run.feed(0)
    run.feed(90, events=[event(0, 80, "a"), event(1, 90, "b")], labels=[label(0, 85, "z")])
    run.feed(101)
    assert len(run.predictions) == 1
    run.feed(190)
    assert len(run.predictions) == 2


def test_a_record_is_counted_when_it_is_taken() -> None:
    run = late_run(max_idle=100)
    assert ("consumed", "events") not in run.feed(0, events=[record(0, b"junk", 0)]).counts
    assert run.feed(100).counts["consumed", "events"] == 1


def test_a_label_with_a_key_too_large_to_be_held_is_a_dead_letter() -> None:
    run = late_run()
    run.feed(0, labels=[record(0, {"id": "a", "label": True}, 0, key=b"k" * 430_000)])
    assert run.reasons() == ["too_large"]


def test_a_held_label_later_than_the_deadline_of_its_event_does_not_join() -> None:
    run = late_run()
    run.feed(5000, labels=[label(0, 5000, "a")])
    run.feed(5001, events=[event(0, 0, "a")])
    assert run.kinds() == [("held", "a"), ("unmatched", "a")]
    assert run.reasons() == ["late"]
    again = restored(run.predictions, run.examples, dict(run.positions))
    assert (again.pending(), again.early_labels()) == (1, 0)


def test_a_duplicate_is_known_though_another_label_came_from_2099() -> None:
    run = late_run()
    began = NOW - MONTH
    run.feed(NOW, events=[event(0, began, "a"), event(1, began + 1, "b")])
    run.feed(NOW, labels=[label(0, began + 2, "a"), label(1, YEAR_2099, "b")])
    run.feed(NOW, labels=[label(2, began + 3, "a")])
    run.feed(NOW, events=[event(2, began + 4, "a")])
    assert run.processor.learned == 2
    assert run.counts["skipped", "duplicate_label"] == 1
    assert run.counts["repeated_id",] == 1


def test_what_expires_by_the_clock_waits_until_the_broker_confirms_that_no_label_is_there() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a")])
    records = {"events": [], "labels": []}
    ends = {"events": True, "labels": True}
    thawed = 10 * WAIT
    assert run.processor.overdue(thawed) == ["labels"]
    assert not run.processor.process(records, ends, thawed, {})
    assert not run.processor.process(records, ends, thawed, {"labels": WAIT})
    assert run.processor.process(records, ends, thawed, {"labels": WAIT + 1}).examples


def test_no_more_records_are_taken_than_a_batch_may_have() -> None:
    run = late_run()
    events = [event(i, i, i) for i in range(10)]
    ends = {"events": True, "labels": True}
    result = run.processor.process({"events": events, "labels": []}, ends, 10, None, 4)
    assert (result.taken, result.positions) == (4, {"events": 4})
    assert run.processor.backlog("events") == 6


def test_memory_stays_bounded_where_labels_never_come() -> None:
    run = late_run()
    for i in range(5000):
        run.feed(i * 100, events=[event(i, i * 100, i)])
    assert run.processor.pending() < 50
    assert queued(run.processor.join.store) < 2500
    assert run.processor.join.store.remembered() < 50


def test_at_least_once_an_event_that_the_model_refused_has_its_dead_letter_written_first() -> None:
    """The order of `AtLeastOnce.commit` is what lets a floor speak for the dead letters below."""
    run = late_run()
    run.feed(2, events=[event(0, 0, "a"), event(1, 1, "b")])
    again = Run(restored(run.predictions, [], {"events": 0, "labels": 0}))
    again.feed(3, events=[event(0, 0, "a"), event(1, 1, "b")])
    assert again.counts["skipped", "replayed"] == 2
    assert again.predictions == []


def test_at_least_once_an_event_whose_prediction_the_broker_refused_is_predicted_again() -> None:
    run = late_run()
    events = [event(i, i, i) for i in range(4)]
    run.feed(4, events=events)
    written = [each for i, each in enumerate(run.predictions) if i != 1]
    again = Run(restored(written, [], {"events": 0, "labels": 0}))
    again.feed(5, events=events)
    assert [record["source"]["offset"] for record in decoded(again.predictions)] == [1]
    assert again.processor.pending() == 4
