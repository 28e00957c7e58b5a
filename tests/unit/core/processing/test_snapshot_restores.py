"""A restore from a snapshot gives what a restore from the start of the logs gives."""

import random
from typing import Any

import pytest

from millstream.core.records.record import InputName
from tests.support.histories import History
from tests.support.processors import WAIT, decoded

SIDES: tuple[InputName, InputName] = ("events", "labels")
ASSUME = {"on_timeout": {"assume": False}}


def step(dice: random.Random, ids: int) -> tuple[Any, ...]:
    """What may happen next, and not be a fault."""
    few = (dice.randrange(6), dice.randrange(6))
    message = (dice.randrange(ids), dice.choice([0, 0, 0, 0, 50, WAIT // 2, 2 * WAIT]))
    gap = dice.choice([1, 30, 200, WAIT // 2, WAIT + 1])
    steps = [
        ("events", *message), ("labels", *message), ("work", *few), ("pass", gap),
        ("ask",), ("mark",), ("snapshot", *few),
    ]  # fmt: skip
    (chosen,) = dice.choices(steps, [28, 24, 20, 10, 3, 3, 6])
    return chosen


def fault(dice: random.Random, *, fenced: bool) -> tuple[Any, ...]:
    """What may go wrong."""
    few = (dice.randrange(6), dice.randrange(6))
    faults: list[tuple[Any, ...]] = [
        ("restart",), ("crash", *few, dice.random()),
        ("moved back", dice.randrange(25), dice.randrange(25)),
        # At least once, outputs of an owner that was replaced are told by what the group holds.
        ("forgotten", dice.choice(SIDES)) if fenced else ("zombie", *few, dice.random()),
    ]  # fmt: skip
    return dice.choice(faults)


def do(history: History, what: tuple[Any, ...]) -> None:  # noqa: C901 - a case for each thing
    match what:
        case ("events" | "labels" as side, identity, age):
            history.send(side, identity, age)
        case "work", events, labels:
            history.work(events, labels)
        case "pass", gap:
            history.now += gap
        case ("ask",):
            history.ask_ends()
        case ("mark",):
            history.mark()
        case "snapshot", events, labels:
            history.ask_ends()
            history.work(events, labels)
            history.mark()
            history.snapshot()
        case ("restart",):
            history.restore()
        case "crash", events, labels, written:
            history.crash(events, labels, written)
        case "moved back", *back:
            for side, by in zip(SIDES, back, strict=True):
                history.committed[side] = max(0, (history.committed[side] or 0) - by)
            history.restore()
        case "forgotten", side:
            history.committed[side] = None
            history.restore()
        case "zombie", events, labels, written:
            zombie = history.replaced()
            history.restore()
            history.write_part(zombie.process(events, labels), written)


def state(history: History) -> dict[str, Any]:
    processor = history.processor
    return {
        "waiting": dict(processor.join.store._waiting),
        "held": processor.join.early,
        "learned": processor.learned,
        "digest": processor.learner.digest(),
        "predicted_already": processor.replayed.predicted,
        "predicted_offsets": processor.replayed.predicted_offsets,
        "owner": processor.epoch,
    }


def forks(history: History) -> tuple[History, list[History]]:
    """Restored from the start of the logs, and from each snapshot."""
    whole = history.fork(None)
    others = [history.fork(each) for each in history.usable()]
    for other in others:
        for side in SIDES:
            # What stood for a committed offset knows more of it than the outputs do.
            assert other.positions[side] >= whole.positions[side]
            if history.committed[side] is not None:
                assert other.positions[side] == whole.positions[side]
        other.positions = dict(whole.positions)
        other.fetched = dict(whole.positions)
    return whole, others


@pytest.mark.parametrize("seed", range(60))
def test_from_any_snapshot_a_shard_is_what_it_is_from_the_start_and_goes_on_likewise(
    seed: int,
) -> None:
    dice = random.Random(seed)
    fenced = seed % 2 == 0
    history = History(fenced=fenced, **(ASSUME if seed % 3 == 0 else {}))
    ids = dice.choice([3, 8, 20])
    for _ in range(dice.choice([40, 120, 250])):
        do(history, step(dice, ids) if dice.random() < 0.96 else fault(dice, fenced=fenced))
    whole, others = forks(history)
    assert [state(other) for other in others] == [state(whole)] * len(others)
    future = [step(dice, ids) for _ in range(40)]
    for each in (whole, *others):
        for what in future:
            if what[0] not in {"ask", "mark", "snapshot"}:
                do(each, what)
    for other in others:
        assert decoded(other.examples) == decoded(whole.examples)
        assert decoded(other.predictions) == decoded(whole.predictions)
        assert state(other) == state(whole)


# -- what an attack found -------------------------------------------------------------------------


def test_a_snapshot_taken_while_old_outputs_are_gone_over_again_hides_none_of_them() -> None:
    history = History()
    for identity in range(10):
        history.send("events", identity)
    history.work(10, 0)
    for identity in range(8):
        history.send("labels", identity)
    history.work(0, 8)
    history.committed["events"] = 8
    history.restore()
    do(history, ("snapshot", 0, 0))
    whole, (other,) = forks(history)
    assert state(other) == state(whole)
    other.work(10, 1)
    assert [p["source"]["offset"] for p in decoded(other.predictions)] == list(range(10))
    assert other.processor.pending() == 2


def test_what_was_forgotten_before_a_snapshot_is_forgotten_after_any_restore() -> None:
    history = History()
    history.send("events", 1)
    history.send("labels", 1)
    history.work(1, 1)
    history.now += WAIT + 1
    do(history, ("snapshot", 0, 0))
    whole, (other,) = forks(history)
    for each in (history, whole, other):
        each.send("events", 1, age=WAIT + 1)
        each.work(1, 0)
        assert decoded(each.predictions)[-1]["waits"] is False


def test_an_id_that_is_seen_again_and_again_does_not_keep_the_marks_back() -> None:
    history = History()
    for _ in range(5):
        history.send("events", 1)
        history.send("labels", 1)
        history.work(1, 1)
        history.now += 2 * WAIT
        do(history, ("snapshot", 0, 0))
    assert history.snapshots[-1].about.logs["examples"] >= 4


def test_at_least_once_an_id_waits_once_whatever_a_worker_before_knew_of_it() -> None:
    history = History(fenced=False)
    history.send("events", 5)
    history.work(1, 0)
    history.now += WAIT + 1
    history.process(0, 0)  # expires, and dies before that is written
    history.now += 2 * WAIT
    history.send("events", 5)
    history.predictions += history.process(1, 0).predictions
    history.send("labels", 99, age=4 * WAIT)  # the clock alone lets nothing expire any more
    history.restore()
    history.work(1, 1)
    history.send("labels", 5, age=4 * WAIT)
    history.work(0, 1)
    assert [(p["source"]["offset"], p["waits"]) for p in decoded(history.predictions)] == [
        (0, True), (1, True), (1, False),
    ]  # fmt: skip
    assert history.processor.pending() == history.fork(None).processor.pending() == 0
