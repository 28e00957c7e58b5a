"""I3: the weights are the fold of the training log, in its order, of what was sent.

A single process learns the log again: the events themselves where labels are inside of them, the
examples where they come later. Its digest has to be that of the worker, each example has to stand
where it says, hold what was sent, and each prediction has to be that of the weights that it names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from millstream.core.models.interface.learner import Learner
from tests.faults.history import (
    RESOLVED,
    History,
    Partition,
    Violation,
    counting_examples,
    document_of,
    grouped,
    some,
)


def weights(
    history: History, partition: Partition, learner: Learner, digests: Mapping[int, str] | None
) -> Iterator[Violation]:
    """Violations of I3 in one partition; `learner` is a fresh one, `digests` the worker's."""
    if not learner.traits.learns:
        return
    yield from _what_was_learned_was_sent(history, partition)
    begins_late = bool(partition.events) and partition.events[0].offset > 0
    if not history.late and begins_late:
        return  # retention took the training log itself: there is nothing to compare with
    replay = _replay_examples if history.late else _replay_events
    yield from replay(history, partition, learner)
    if digests is not None and digests.get(partition.number) != learner.digest():
        text = (
            f"the worker's weights have the digest {digests.get(partition.number)}, a replay of "
            f"the training log {learner.digest()}"
        )
        yield Violation("I3", partition.number, text)


def _what_was_learned_was_sent(history: History, partition: Partition) -> Iterator[Violation]:
    """Features, ids and labels in outputs are those of the messages at their source positions."""
    events = {each.offset: document_of(each) for each in partition.events}
    labels = {each.offset: document_of(each) for each in partition.labels}
    outputs = [(each.json, each.json["source"]["offset"]) for each in partition.predictions]
    outputs += [
        (each, each["event"]["offset"])
        for each in counting_examples(history, partition)
        if each["kind"] in RESOLVED
    ]
    for output, offset in outputs:
        if offset not in events:
            continue  # gone by retention; I1 looks for those that never were
        sent = events[offset] or {}
        features = {name: sent.get(name) for name in history.features}
        if output["features"] != features or output["id"] != sent.get("id"):
            text = f"the output for event {offset} (id {output['id']}) is not of what was sent"
            yield Violation("I3", partition.number, text)
        source = output.get("label_source")
        label = labels.get(source["offset"]) if source else None
        if label and (label["id"], label["label"]) != (output["id"], output["label"]):
            text = f"the example of event {offset} has not the label at {source['offset']}"
            yield Violation("I3", partition.number, text)


def _replay_events(history: History, partition: Partition, learner: Learner) -> Iterator[Violation]:
    """Learn from the events that have a prediction, in the order of their log."""
    counting = partition.predictions
    if history.answers_may_differ:
        last = history.last_answers(partition)
        counting = [p for p in counting if last[p.json["source"]["offset"]] is p]
    predictions = grouped((p.json["source"]["offset"], p.json) for p in counting)
    learned = 0
    for event in partition.events:
        sent = document_of(event)
        if event.offset not in predictions or sent is None:
            continue  # what has a prediction and no sense is found above
        features = {name: sent[name] for name in history.features}
        yield from _same_answers(partition, learner, features, learned, predictions[event.offset])
        learner.learn(features, sent["label"])
        learned += 1


def _replay_examples(
    history: History, partition: Partition, learner: Learner
) -> Iterator[Violation]:
    """Learn from the examples, in the order of their log."""
    predictions: dict[int, list[dict[str, Any]]] = {}
    if history.exactly_once:  # else a zombie may have predicted by weights that never counted
        predictions = grouped((p.json["model"]["learned"], p.json) for p in partition.predictions)
    learned = 0
    for example in [None, *counting_examples(history, partition)]:
        if example is not None:
            if example["kind"] not in {"learned", "expired"} or example["label"] is None:
                continue
            learner.learn(example["features"], example["label"])
            learned += 1
            if example["learned"] != learned:
                text = (
                    f"example {example['learned']} (event {example['event']['offset']}) stands as "
                    f"number {learned} in the training log"
                )
                yield Violation("I3", partition.number, text)
        for each in predictions.pop(learned, []):
            yield from _same_answers(partition, learner, each["features"], learned, [each])
    if predictions:
        text = f"predictions of weights that there never were: learned {some(sorted(predictions))}"
        yield Violation("I3", partition.number, text)


def _same_answers(
    partition: Partition,
    learner: Learner,
    features: dict[str, Any],
    learned: int,
    predictions: list[dict[str, Any]],
) -> Iterator[Violation]:
    """Each prediction on these features is that of these weights."""
    answer = learner.predict(features)
    for each in predictions:
        told = {str(name).lower(): value for name, value in answer.get("probabilities", {}).items()}
        same = each["prediction"] == answer["prediction"] and each.get("probabilities", {}) == told
        if not same or each["model"]["learned"] != learned:
            text = (
                f"the prediction on event {each['source']['offset']} says it is of weights "
                f"{each['model']['learned']}; by the log it is of {learned}, which answer "
                f"{'the same' if same else 'otherwise'}"
            )
            yield Violation("I3", partition.number, text)
