"""The verifier finds nothing in a faultless history, and in each broken one what is broken."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.faults.histories import (
    BAD,
    COUNT,
    DUPLICATE,
    TOMBSTONE,
    build_learner,
    inline_history,
    late_history,
    message,
)
from tests.faults.history import Committed, History, Partition
from tests.faults.verify import verify
from tests.support.kafka.cluster import Message

Breaking = Callable[[Partition], object]
Make = Callable[[], tuple[History, dict[int, str]]]


def broken(make: Make, breaking: Breaking, *, complete: bool = True) -> dict[str, str]:
    """Invariant to what the verifier says of a history, once it is broken."""
    history, digests = make()
    breaking(history.partitions[0])
    found = verify(history, build_learner, digests, complete=complete)
    return {
        name: "; ".join(each.text for each in found if each.invariant == name)
        for name in {each.invariant for each in found}
    }


def changed(old: Message, **fields: Any) -> Message:
    """A message whose document has other fields."""
    return old._replace(value=orjson.dumps({**old.json, **fields}))


def at_least_once_inline() -> tuple[History, dict[int, str]]:
    return inline_history(exactly_once=False)


def at_least_once_late() -> tuple[History, dict[int, str]]:
    return late_history(exactly_once=False)


@pytest.mark.parametrize(
    "make", [inline_history, late_history, at_least_once_inline, at_least_once_late]
)
def test_a_faultless_history_has_no_violation(make: Make) -> None:
    assert broken(make, lambda _: None) == {}


@pytest.mark.parametrize("make", [inline_history, late_history])
def test_a_missing_prediction_is_found(make: Make) -> None:
    found = broken(make, lambda partition: partition.predictions.pop(3))
    assert "without output: 3" in found["I2"]


def test_a_missing_dead_letter_is_found() -> None:
    found = broken(inline_history, lambda partition: partition.dead_letters.clear())
    assert f"without output: {BAD}" in found["I2"]


def test_a_missing_dead_letter_of_a_label_is_found() -> None:
    found = broken(late_history, lambda partition: partition.dead_letters.clear())
    assert "labels below the committed offset" in found["I2"]


@pytest.mark.parametrize("make", [inline_history, late_history])
def test_a_second_prediction_is_found(make: Make) -> None:
    found = broken(make, lambda p: p.predictions.append(p.predictions[3]))
    assert "answered more than once: 3" in found["I1"]


def test_at_least_once_a_second_prediction_is_none() -> None:
    assert broken(at_least_once_inline, lambda p: p.predictions.append(p.predictions[3])) == {}


def test_a_prediction_and_a_dead_letter_of_one_event_are_found_even_at_least_once() -> None:
    def breaking(partition: Partition) -> None:
        first = partition.predictions[3].json["source"]
        headers = [(name, str(BAD - 8).encode() if name.endswith("offset") else value)
                   for name, value in partition.dead_letters[0].headers]  # fmt: skip
        assert first["offset"] == BAD - 8
        partition.dead_letters.append(message(1, b"", headers=headers))

    assert "different answers" in broken(at_least_once_inline, breaking)["I1"]


def test_where_settings_changed_the_last_answer_to_an_event_is_the_one_that_counts() -> None:
    for seconds, expected in ((-60, set()), (60, {"I3"})):
        history, digests = at_least_once_inline()
        history.answers_may_differ = True
        partition = history.partitions[0]
        answered = partition.predictions[3]
        headers = [(name, str(BAD - 8).encode() if name.endswith("offset") else value)
                   for name, value in partition.dead_letters[0].headers]  # fmt: skip
        buried = message(1, b"", headers=headers)
        moment = answered.timestamp + 1000 * seconds
        partition.dead_letters.append(buried._replace(timestamp=moment))
        found = verify(history, build_learner, digests, complete=True)
        assert {each.invariant for each in found} == expected


def test_a_prediction_of_a_tombstone_is_found() -> None:
    def breaking(partition: Partition) -> None:
        source = {"topic": "events", "partition": 0, "offset": TOMBSTONE}
        partition.predictions.append(changed(partition.predictions[0], source=source))

    assert f"tombstones that were answered: {TOMBSTONE}" in broken(inline_history, breaking)["I1"]


def test_a_prediction_of_no_event_is_found() -> None:
    def breaking(partition: Partition) -> None:
        source = {"topic": "events", "partition": 0, "offset": COUNT + 5}
        partition.predictions.append(changed(partition.predictions[0], source=source))

    assert "events that are none" in broken(inline_history, breaking)["I1"]


@pytest.mark.parametrize("make", [inline_history, late_history])
def test_an_output_above_the_committed_offset_is_found(make: Make) -> None:
    def breaking(partition: Partition) -> None:
        partition.committed["events"] = Committed(COUNT - 1, None)

    found = broken(make, breaking, complete=False)
    assert f"above the committed offset {COUNT - 1} with output: {COUNT - 1}" in found["I2"]


def test_at_least_once_an_output_above_the_committed_offset_is_none() -> None:
    def breaking(partition: Partition) -> None:
        partition.committed["events"] = Committed(COUNT - 1, None)

    assert broken(at_least_once_inline, breaking, complete=False) == {}


def test_a_label_that_was_used_above_the_committed_offset_is_found() -> None:
    def breaking(partition: Partition) -> None:
        partition.committed["labels"] = Committed(COUNT - 1, None)

    assert "labels above" in broken(late_history, breaking, complete=False)["I2"]


def test_an_event_that_was_never_worked_off_is_found() -> None:
    def breaking(partition: Partition) -> None:
        partition.events.append(message(COUNT, {"id": 1}))

    assert f"never worked off: {COUNT}" in broken(inline_history, breaking)["I1"]


def test_a_label_that_was_lost_is_found() -> None:
    found = broken(late_history, lambda partition: partition.examples.pop())
    assert "labels below the committed offset" in found["I2"]
    assert "digest" in found["I3"]


def test_a_duplicate_label_that_was_learned_as_well_is_found() -> None:
    def breaking(partition: Partition) -> None:
        example = partition.examples[DUPLICATE]
        assert example.json["id"] == DUPLICATE
        source = {"offset": len(partition.labels) - 2, "time": 1}
        partition.examples.append(changed(example, label_source=source, learned=COUNT + 1))

    found = broken(late_history, breaking)
    assert f"events learned more than once: {DUPLICATE}" in found["I1"]


@pytest.mark.parametrize("make", [late_history, at_least_once_late])
def test_an_example_that_was_learned_twice_is_found(make: Make) -> None:
    found = broken(make, lambda p: p.examples.append(p.examples[-1]))
    assert "used more than once" in found["I1"]
    assert "digest" in found["I3"]


def test_an_example_of_an_owner_that_was_replaced_does_not_count() -> None:
    def zombie(partition: Partition) -> None:
        record = {**partition.examples[-1].json, "owner": 999}
        partition.examples.append(message(99, record))

    assert broken(at_least_once_late, zombie) == {}


def test_a_claim_that_the_group_never_accepted_does_not_count() -> None:
    def claim(partition: Partition) -> None:
        record = {"kind": "owner", "owner": 2_000, "after": 1_000, "time": 1, "written_at": 1}
        partition.examples.append(message(98, record))
        partition.examples.append(changed(partition.examples[5], owner=2_000))

    assert broken(at_least_once_late, claim) == {}


def test_examples_in_another_order_than_they_were_learned_in_are_found() -> None:
    def breaking(partition: Partition) -> None:
        examples = partition.examples
        examples[4], examples[5] = examples[5], examples[4]

    found = broken(late_history, breaking)
    assert "I3" in found


def test_examples_that_are_renumbered_to_hide_their_order_are_found_by_the_digest() -> None:
    def breaking(partition: Partition) -> None:
        examples = partition.examples
        examples[4], examples[5] = (
            changed(examples[5], learned=5),
            changed(examples[4], learned=6),
        )
        # A witness that can be silenced as well; the weights cannot.
        partition.predictions = [
            each for each in partition.predictions if each.json["model"]["learned"] < 5
        ]

    assert "digest" in broken(late_history, breaking)["I3"]


def test_weights_that_learned_the_events_in_another_order_are_found() -> None:
    history, _ = inline_history()
    learner = build_learner()
    for prediction in reversed(history.partitions[0].predictions):
        event = history.partitions[0].events[prediction.json["source"]["offset"]].json
        learner.learn(prediction.json["features"], event["label"])
    (found,) = verify(history, build_learner, {0: learner.digest()})
    assert found.invariant == "I3"


def test_a_worker_that_gave_no_digest_is_found() -> None:
    history, _ = inline_history()
    assert [each.invariant for each in verify(history, build_learner, {})] == ["I3"]


@pytest.mark.parametrize("make", [inline_history, late_history])
def test_a_prediction_of_weights_that_had_learned_less_is_found(make: Make) -> None:
    def breaking(partition: Partition) -> None:
        old, earlier = partition.predictions[20], partition.predictions[19].json
        partition.predictions[20] = changed(old, probabilities=earlier["probabilities"])

    assert "weights" in broken(make, breaking)["I3"]


def test_an_example_with_other_features_than_were_sent_is_found() -> None:
    def breaking(partition: Partition) -> None:
        example = partition.examples[3]
        features = {**example.json["features"], "https": 0.25}
        partition.examples[3] = changed(example, features=features)

    assert "I3" in broken(late_history, breaking)


def test_an_example_with_another_label_than_was_sent_is_found() -> None:
    def breaking(partition: Partition) -> None:
        example = partition.examples[3]
        partition.examples[3] = changed(example, label=not example.json["label"])

    assert "has not the label" in broken(late_history, breaking)["I3"]


@pytest.mark.parametrize("make", [inline_history, at_least_once_late])
def test_predictions_of_a_key_that_changed_places_are_found(make: Make) -> None:
    def breaking(partition: Partition) -> None:
        predictions = partition.predictions
        predictions[3], predictions[6] = predictions[6], predictions[3]

    assert "out of order" in broken(make, breaking)["I5"]
