"""The invariants, judged by what the topics say: a history goes in, violations come out.

- I1: each input that was worked off has exactly one prediction or dead letter (at least once: at
  least one), by source position; a label is used once.
- I2: below the committed offset each record has its output or is a listed skip (a tombstone, a
  duplicate label); above it none has one (exactly once).
- I3: the weights are the fold of the log; see `weights`.
- I4: no transaction hangs; see `scene.Scene`.
- I5: the predictions of a key stand in the order of its events.

Nothing of the worker is asked but the digest of its weights, and nothing of its code is used but
the learner itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

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
from tests.faults.weights import weights
from tests.support.kafka.cluster import Message


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
        found += weights(history, partition, build_learner(), digests)
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
    both = [offset for offset, what in answers.items() if len(set(what)) > 1]
    if both and not history.answers_may_differ:
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
    first: dict[str | None, int] = {}
    for offset in sorted(used):
        first.setdefault(ids.get(offset), offset)
    duplicates = {o for o, identity in ids.items() if first.get(identity, o) < o}
    return used | duplicates


# -- I5 -------------------------------------------------------------------------------------------


def _order_of_keys(history: History, partition: Partition) -> Iterator[Violation]:
    """The first predictions on the events of a key stand in the order of those events."""
    del history
    by_key = grouped((each.key, each.json["source"]["offset"]) for each in partition.predictions)
    for key, offsets in by_key.items():
        first = list(dict.fromkeys(offsets))  # at least once, repeats come later
        wrong = [after for before, after in pairwise(first) if after < before]
        if wrong:
            text = f"predictions of key {key!r} out of order: events {some(wrong)}"
            yield Violation("I5", partition.number, text)
