"""Histories as a faultless worker leaves them, made without a worker: for tests that break them."""

from typing import Any

import orjson

from millstream.core.models.factory import wrap
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.traits import detect_traits
from millstream.core.spec import ModelSpec
from tests.faults.history import Committed, History, Partition
from tests.support.kafka.app import FEATURES, SCALED_LOGISTIC, event_of, label_of, scaled_logistic
from tests.support.kafka.cluster import Message

EVENTS, LABELS = "events", "labels"
COUNT = 30
TOMBSTONE, BAD, DUPLICATE = 7, 11, 20
"""Offsets: of events without a value and without sense, and of the label that comes twice."""


def build_learner() -> Learner:
    """The learner of these histories."""
    model = scaled_logistic()
    return wrap(
        model, ModelSpec(river=SCALED_LOGISTIC), labelled=True, feature_names=tuple(FEATURES),
        warmup_model=scaled_logistic(), river_traits=detect_traits(model, tuple(FEATURES)),
    )  # fmt: skip


def message(offset: int, document: Any, key: Any = b"k", headers: Any = ()) -> Message:
    """A message of partition 0."""
    value = document if document is None or isinstance(document, bytes) else orjson.dumps(document)
    return Message(0, offset, 1_700_000_000_000 + offset, key, value, list(headers))


def inline_history(*, exactly_once: bool = True) -> tuple[History, dict[int, str]]:
    """Labels inside the events; and the digests of its weights."""
    partition, learner = Partition(0), build_learner()
    for offset in range(COUNT):
        _, document = event_of(offset)
        value: Any = document
        if offset in (TOMBSTONE, BAD):
            value = None if offset == TOMBSTONE else b"no json"
        partition.events.append(message(offset, value, key=b"%d" % (offset % 3)))
        if offset == BAD:
            partition.dead_letters.append(_buried(EVENTS, offset))
        elif offset != TOMBSTONE:
            learned = len(partition.predictions)
            partition.predictions.append(_prediction(partition, learner, document, offset, learned))
            learner.learn({name: document[name] for name in FEATURES}, document["label"])
    partition.committed = {"events": Committed(COUNT, None)}
    history = History(
        late=False, exactly_once=exactly_once, features=FEATURES, topics={EVENTS: "events"},
        partitions=[partition],
    )  # fmt: skip
    return history, {0: learner.digest()}


def late_history(*, exactly_once: bool = True) -> tuple[History, dict[int, str]]:
    """Each event's label comes after five more events; one of them twice, and one is bad."""
    partition, learner = Partition(0), build_learner()
    owner = 0 if exactly_once else 1_000
    if owner:
        claim = {"kind": "owner", "owner": owner, "after": 0, "time": 1, "written_at": 1}
        partition.examples.append(message(0, claim))
    learned = 0
    for offset in range(COUNT + 5):
        if offset < COUNT:
            _, document = event_of(offset, label=False)
            partition.events.append(message(offset, document, key=b"%d" % (offset % 3)))
            prediction = _prediction(partition, learner, document, offset, learned)
            partition.predictions.append(prediction)
        if offset >= 5:
            learned += 1
            _learn(partition, learner, offset - 5, learned, owner)
    where = len(partition.labels)
    partition.labels.append(message(where, label_of(DUPLICATE)[1]))
    partition.labels.append(message(where + 1, b"no json"))
    partition.dead_letters.append(_buried(LABELS, where + 1))
    name = owner or None
    partition.committed = {
        "events": Committed(COUNT, name), "labels": Committed(len(partition.labels), name),
    }  # fmt: skip
    history = History(
        late=True, exactly_once=exactly_once, features=FEATURES,
        topics={EVENTS: "events", LABELS: "labels"}, partitions=[partition],
    )  # fmt: skip
    return history, {0: learner.digest()}


def _learn(partition: Partition, learner: Learner, number: int, learned: int, owner: int) -> None:
    where = len(partition.labels)
    label = label_of(number)[1]
    partition.labels.append(message(where, label))
    features = partition.predictions[number].json["features"]
    learner.learn(features, label["label"])
    example = {
        "kind": "learned", "id": number, "label": label["label"], "learned": learned,
        "features": features, "event": {"offset": number, "time": 1}, "owner": owner,
        "label_source": {"offset": where, "time": 1}, "time": 1, "written_at": 1,
    }  # fmt: skip
    partition.examples.append(message(len(partition.examples), example))


def _prediction(
    partition: Partition, learner: Learner, document: dict[str, Any], offset: int, learned: int
) -> Message:
    features = {name: document[name] for name in FEATURES}
    answer = learner.predict(features)
    told = {str(label).lower(): value for label, value in answer["probabilities"].items()}
    record = {
        "id": document["id"], "prediction": answer["prediction"], "probabilities": told,
        "model": {"name": "m", "version": "0" * 12, "learned": learned}, "features": features,
        "source": {"topic": EVENTS, "partition": 0, "offset": offset},
    }  # fmt: skip
    return message(len(partition.predictions), record, key=b"%d" % (offset % 3))


def _buried(topic: str, offset: int) -> Message:
    ours = {"topic": topic, "partition": "0", "offset": str(offset), "reason": "not_json"}
    headers = [(f"millstream-{name}", value.encode()) for name, value in ours.items()]
    return message(offset, b"no json", headers=headers)
