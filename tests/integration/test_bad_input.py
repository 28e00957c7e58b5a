"""Bad messages of every kind between good ones: none stops the worker, none touches the model."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, optim, preprocessing

from millstream.core.formats.events import EventReader
from millstream.core.models.factory import wrap
from millstream.core.models.interface.state_digest import digest
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from tests.support.bad_messages import (
    BAD_EVENTS,
    EVENT_MESSAGES,
    EVENTS,
    LABEL_MESSAGES,
    LATE_LABELS,
)
from tests.support.bad_messages import good as good_event
from tests.support.bad_messages import label as good_label
from tests.support.kafka.app import SCALED_LOGISTIC, App, released_digests
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka

TIMES_OF_GOOD = (0.5, -1.25, 3.0)


def publish(
    kafka: Kafka, topic: str, messages: list[tuple[bytes | None, bytes | None, Any]]
) -> None:
    kafka.produce(topic, [(key, value, headers, None, 0) for key, value, headers in messages])


def bare() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.005)
    )


def digest_of_good(values: list[bytes]) -> str:
    """A bare River model that never met anything else."""
    events, labels = EventsSpec.model_validate(EVENTS), LabelsSpec.model_validate({"from": "event"})
    spec = ModelSpec(river=SCALED_LOGISTIC)
    learner = wrap(bare(), spec, labelled=True, feature_names=("a", "b", "c"))
    reader, model = EventReader(events, labels, learner, None), bare()
    for value in values:
        event = reader.read(value)
        model.learn_one(event.features, event.label)
    return digest(model)


def test_there_are_more_than_forty_kinds_of_bad_events() -> None:
    assert len({message.name for message in BAD_EVENTS}) > 40


def test_each_bad_event_is_one_dead_letter_each_good_one_a_prediction_and_the_model_is_untouched(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(
        kafka, tmp_path, events={**EVENTS, "topic": "set below"}, labels={"from": "event"},
        dead_letters={"stop_ratio": None},
    )  # fmt: skip
    app.write_settings(events={**EVENTS, "topic": app.events})
    pairs = [
        [(m.key, m.value, m.headers, m.expected),
         (b"g", good_event(id=f"good {i}", a=TIMES_OF_GOOD[i % 3], label=i % 2 == 0), None, None)]
        for i, m in enumerate(EVENT_MESSAGES)
    ]  # fmt: skip
    sent = list(chain.from_iterable(pairs))
    publish(kafka, app.events, [(key, value, headers) for key, value, headers, _ in sent])
    with app.worker() as worker:
        worker.wait_until(lambda: kafka.committed(app.name, app.events) == len(sent))
        assert worker.stop() == 0
        digests = released_digests(worker)
    letters = {int(letter["millstream-offset"]): letter for letter in app.dead_letters()}
    predicted = [record["source"]["offset"] for record in app.predictions()]
    reasons = {offset: letter["millstream-reason"] for offset, letter in letters.items()}
    expected = {i: e for i, (_, _, _, e) in enumerate(sent) if e not in (None, "skip")}
    assert reasons == expected
    assert predicted == [i for i, (_, _, _, e) in enumerate(sent) if e is None]
    assert digests == {0: digest_of_good([v for _, v, _, e in sent if e is None and v is not None])}
    for message in app.read("dead-letters"):
        key, value, headers, _ = sent[int(dict(message.headers)["millstream-offset"] or b"")]
        assert (message.key, message.value) == (key, value)
        assert message.headers[: len(headers or [])] == list(headers or [])


def test_each_bad_label_is_one_dead_letter_and_the_good_ones_are_learned(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(
        kafka, tmp_path, events={**EVENTS, "topic": "set below"},
        labels={**LATE_LABELS, "wait": "1d"}, dead_letters={"stop_ratio": None},
    )  # fmt: skip
    no_label = {name: value for name, value in EVENTS.items() if name != "label"}
    app.write_settings(events={**no_label, "topic": app.events})
    publish(kafka, app.events, [(b"k", good_event(id=f"e{i}"), None) for i in range(20)])
    bad = [m for m in LABEL_MESSAGES if m.expected is not None]
    sent = list(
        chain.from_iterable(
            [(m.key, m.value, m.headers, m.expected), (b"k", good_label(f"e{i}"), None, None)]
            for i, m in enumerate(bad)
        )
    )
    publish(kafka, app.labels, [(key, value, headers) for key, value, headers, _ in sent])
    with app.worker() as worker:
        worker.wait_until(lambda: kafka.committed(app.name, app.labels) == len(sent))
        worker.wait_until(lambda: kafka.committed(app.name, app.events) == 20)
        assert worker.stop() == 0
    reasons = {
        int(letter["millstream-offset"]): letter["millstream-reason"]
        for letter in app.dead_letters()
    }
    assert reasons == {i: e for i, (_, _, _, e) in enumerate(sent) if e not in (None, "skip")}
    assert [r["id"] for r in app.examples("learned")] == [f"e{i}" for i in range(min(20, len(bad)))]


def test_messages_larger_than_the_outputs_may_be_go_to_dead_letters_cut_and_say_so(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, events={**EVENTS, "topic": "set below"}, labels={"from": "event"})
    large = kafka.unique("large")
    kafka.create_topics(large, config={"max.message.bytes": "5000000"})
    app.write_settings(
        events={**EVENTS, "topic": large},
        kafka={"bootstrap.servers": kafka.bootstrap, "fetch.message.max.bytes": 6_000_000},
    )
    bulk = b"x" * 3_000_000
    messages: list[tuple[bytes | None, bytes | None, Any]] = [
        (b"k", bulk, None),
        (bulk, good_event(), None),
        (b"k", good_event(), [("bulk", bulk)]),
        (b"k", good_event(x="x" * 3_000_000), None),
        (b"k", good_event(), None),
    ]
    publish(kafka, large, messages)
    with app.worker() as worker:
        worker.wait_until(lambda: kafka.committed(app.name, large) == 5)
        assert worker.stop() == 0
    reasons = [letter["millstream-reason"] for letter in app.dead_letters()]
    assert reasons == ["not_json", "too_large", "too_large"]
    assert all("millstream-truncated" in letter for letter in app.dead_letters())
    cut, without_key, without_headers = app.read("dead-letters")
    assert cut.value == bulk[: len(cut.value or b"")]
    assert len(cut.value or b"") > 900_000
    assert (without_key.key, without_key.value) == (None, good_event())
    assert (without_headers.key, without_headers.value) == (b"k", good_event())
    # An event that is large only in what the model does not see is a good one.
    assert [record["source"]["offset"] for record in app.predictions()] == [3, 4]
