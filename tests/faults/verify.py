"""The invariants, judged by what the topics say: a history goes in, violations come out.

| | |
| --- | --- |
| I1 | each input that was worked off has exactly one prediction or dead letter (at least once: at least one), by source position; a label is used once |
| I2 | below the committed offset each record has its output or is a listed skip; above it none has one (exactly once) |
| I3 | the weights are the fold of the log, in its order, of what was sent, and each prediction is theirs |
| I4 | no transaction hangs: see `scene.Scene.check_for_hanging_transactions` |
| I5 | the predictions of a key stand in the order of its events |

Nothing of the worker is asked but the digest of its weights, and nothing of its code is used but
the learner itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from millstream.core.models.learner import Learner
from tests.faults.history import History, Partition, document_of, grouped
from tests.kafka.cluster import Message

RESOLVED = {"learned", "expired", "failed"}


class Violation(NamedTuple):
    """An invariant that does not hold, and where."""

    invariant: str
    partition: int
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}, partition {self.partition}: {self.text}"


def verify(
    history: History,
    build_learner: Callable[[], Learner],
    digests: Mapping[int, str] | None = None,
    *,
    complete: bool = True,
) -> list[Violation]:
    """All violations of I1, I2, I3 and I5.

    `digests`: partition to the digest of its weights as the worker gave it, None where none is to
    be compared; `complete`: every record sent was worked off, so that there is nothing above the
    committed offsets.
    """
    found: list[Violation] = []
    for partition in history.partitions:
        for check in (_each_event_once, _each_label_once, _order_of_keys):
            found += check(history, partition)
        found += _below_and_above_the_commit(history, partition, complete=complete)
        found += _weights(history, partition, build_learner(), digests)
    return found


# -- I1 -------------------------------------------------------------------------------------------


def _answers(history: History, partition: Partition) -> dict[int, list[str]]:
    """Offset of an event to what answers it: `prediction`, or why it is a dead letter."""
    predicted = [(each.json["source"]["offset"], "prediction") for each in partition.predictions]
    buried = [
        (offset, reason)
        for (side, offset), reason in partition.buried(history.topics)
        if side == "events"
    ]
    return grouped(predicted + buried)


def _each_event_once(history: History, partition: Partition) -> Iterator[Violation]:
    answers = _answers(history, partition)
    if history.exactly_once:
        twice = {offset: what for offset, what in answers.items() if len(what) > 1}
        if twice:
            yield Violation(
                "I1", partition.number, f"events answered more than once: {some(twice)}"
            )
    if both := [o for o, what in answers.items() if len(set(what)) > 1]:
        yield Violation("I1", partition.number, f"different answers to one event: {some(both)}")
    tombstones = {each.offset for each in partition.events if each.value is None}
    if wrong := sorted(tombstones & answers.keys()):
        yield Violation("I1", partition.number, f"tombstones that were answered: {some(wrong)}")
    unknown = _unknown(answers, partition.events)
    if unknown:
        yield Violation("I1", partition.number, f"answers to events that are none: {some(unknown)}")


def _unknown(offsets: Iterable[int], log: list[Message]) -> list[int]:
    """Offsets within a log (whose beginning may be gone) at which it has nothing."""
    known = {each.offset for each in log}
    first = min(known, default=0)
    return sorted(offset for offset in offsets if offset >= first and offset not in known)


def _each_label_once(history: History, partition: Partition) -> Iterator[Violation]:
    """A label is learned, held, given up and buried once each; an event is resolved once."""
    uses: list[tuple[int, str]] = []
    resolved: Counter[int] = Counter()
    for example in counting_examples(history, partition):
        kind = "learned" if example["kind"] in RESOLVED else example["kind"]
        if "label_source" in example:
            uses.append((example["label_source"]["offset"], kind))
        if kind == "learned":
            resolved[example["event"]["offset"]] += 1
    if twice := {use: count for use, count in Counter(uses).items() if count > 1}:
        yield Violation("I1", partition.number, f"labels used more than once: {some(twice)}")
    if many := {offset: count for offset, count in resolved.items() if count > 1}:
        yield Violation("I1", partition.number, f"events learned more than once: {some(many)}")
    if unknown := _unknown((offset for offset, _ in uses), partition.labels):
        yield Violation("I1", partition.number, f"labels that are none were used: {some(unknown)}")
    if history.exactly_once:
        buried = Counter(at for at, _ in partition.buried(history.topics) if at[0] == "labels")
        if again := {at: count for at, count in buried.items() if count > 1}:
            yield Violation("I1", partition.number, f"labels buried more than once: {some(again)}")


def counting_examples(history: History, partition: Partition) -> list[dict[str, Any]]:
    """The examples that count: exactly once all, at least once those of the accepted owners.

    Accepted is whose name the committed offsets carry, and whom that one came after, and so on.
    """
    documents = [each.json for each in partition.examples]
    if history.exactly_once:
        return documents
    after = {each["owner"]: each["after"] for each in documents if each["kind"] == "owner"}
    named = [c.owner for c in partition.committed.values() if c.owner is not None]
    owner = max(named, default=max(after, default=0))
    accepted = {0}
    while owner not in accepted:
        accepted.add(owner)
        owner = after.get(owner, 0)
    counting, newest = [], 0
    for each in documents:
        if each["owner"] in accepted and each["owner"] >= newest:
            newest = each["owner"]
            if each["kind"] != "owner":
                counting.append(each)
    return counting


# -- I2 -------------------------------------------------------------------------------------------


def _below_and_above_the_commit(
    history: History, partition: Partition, *, complete: bool
) -> Iterator[Violation]:
    answered = set(_answers(history, partition))
    sides = {"events": (partition.events, answered)}
    if history.late:
        sides["labels"] = (partition.labels, _accounted_labels(history, partition))
    for side, (log, accounted) in sides.items():
        where = partition.committed.get(side)
        committed = 0 if where is None else where.offset
        lacking = [
            each.offset
            for each in log
            if each.offset < committed and each.value is not None and each.offset not in accounted
        ]
        if lacking:
            text = f"{side} below the committed offset {committed} without output: {some(lacking)}"
            yield Violation("I2", partition.number, text)
        above = sorted(offset for offset in accounted if offset >= committed)
        if side == "labels":
            above = sorted(_used_labels(history, partition) & set(above))
        if above and history.exactly_once:
            text = f"{side} above the committed offset {committed} with output: {some(above)}"
            yield Violation("I2", partition.number, text)
        left = [each.offset for each in log if each.offset >= committed]
        if complete and left:
            text = f"{side} that were never worked off: {some(left)}"
            yield Violation("I1", partition.number, text)


def _used_labels(history: History, partition: Partition) -> set[int]:
    examples = counting_examples(history, partition)
    used = {each["label_source"]["offset"] for each in examples if "label_source" in each}
    buried = partition.buried(history.topics)
    return used | {offset for (side, offset), _ in buried if side == "labels"}


def _accounted_labels(history: History, partition: Partition) -> set[int]:
    """Labels with an output, and those that are duplicates of such a one."""
    used = _used_labels(history, partition)
    ids = {each.offset: str((document_of(each) or {}).get("id")) for each in partition.labels}
    first = {}
    for offset in sorted(used):
        first.setdefault(ids.get(offset), offset)
    duplicates = {o for o, identity in ids.items() if first.get(identity, o) < o}
    return used | duplicates


# -- I3 -------------------------------------------------------------------------------------------


def _weights(
    history: History, partition: Partition, learner: Learner, digests: Mapping[int, str] | None
) -> Iterator[Violation]:
    if not learner.learns:
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
        sent = events.get(offset)
        if sent is None:
            continue  # gone by retention; I1 looks for those that never were
        features = {name: sent[name] for name in history.features}
        if output["features"] != features or output["id"] != sent["id"]:
            text = f"event {offset} is {sent['id']}, and its output says otherwise: {output['id']}"
            yield Violation("I3", partition.number, text)
        source = output.get("label_source")
        label = labels.get(source["offset"]) if source else None
        if label and (label["id"], label["label"]) != (output["id"], output["label"]):
            text = f"the example of event {offset} has not the label at {source['offset']}"
            yield Violation("I3", partition.number, text)


def _replay_events(history: History, partition: Partition, learner: Learner) -> Iterator[Violation]:
    """Learn from the events that have a prediction, in the order of their log."""
    predictions = grouped((p.json["source"]["offset"], p.json) for p in partition.predictions)
    for learned, event in enumerate(e for e in partition.events if e.offset in predictions):
        sent = event.json
        features = {name: sent[name] for name in history.features}
        yield from _same_answers(partition, learner, features, learned, predictions[event.offset])
        learner.learn(features, sent["label"])


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


# -- I5 -------------------------------------------------------------------------------------------


def _order_of_keys(history: History, partition: Partition) -> Iterator[Violation]:
    """The first predictions on the events of a key stand in the order of those events."""
    del history
    by_key = grouped((each.key, each.json["source"]["offset"]) for each in partition.predictions)
    for key, offsets in by_key.items():
        first = list(dict.fromkeys(offsets))  # at least once, repeats come later
        wrong = [after for before, after in zip(first, first[1:], strict=False) if after < before]
        if wrong:
            text = f"predictions of key {key!r} out of order: events {some(wrong)}"
            yield Violation("I5", partition.number, text)


def some(values: Iterable[Any]) -> str:
    """The first few, and how many there are."""
    listed = [f"{k}: {v}" for k, v in values.items()] if isinstance(values, dict) else list(values)
    shown = ", ".join(map(str, listed[:5]))
    return shown if len(listed) <= 5 else f"{shown} ... ({len(listed)} in all)"
