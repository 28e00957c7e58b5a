"""One restore path, and what it must not be fooled by."""

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from millstream.core.models.interface.state_digest import digest
from millstream.core.records.record import Record
from millstream.kafka.client_config import owned_by_the_guarantee
from millstream.kafka.log_reader import LogReader, OffsetRange
from millstream.kafka.watermarks import Watermarks
from tests.support.kafka.app import (
    PHISHING,
    App,
    bare_digest,
    event_of,
    label_of,
    released_digests,
    scaled_logistic,
)
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

pytestmark = pytest.mark.kafka
LATE = {"from": "topic", "wait": "1h"}
REPLAY: dict[str, Any] = {"snapshots": {"enabled": False}}
"""From the logs alone: what a restore does when there is no snapshot that it can use."""


either_way = pytest.mark.parametrize(
    "settings", [REPLAY, {}], ids=["from the whole log", "from a snapshot"]
)


def run_until(app: App, events: int, *, resolved: int = 0) -> WorkerProcess:
    """Run a worker until so many events are handled (and predictions resolved), and stop it."""
    with app.worker() as worker:
        worker.wait_for_log("restored (")
        worker.wait_until(lambda: app.handled() >= events and app.resolved() >= resolved)
        assert worker.stop() == 0
    return worker


def in_order(numbers: range) -> str:
    return bare_digest(PHISHING[number] for number in numbers)


def test_a_log_is_not_read_to_its_end_while_the_markers_of_a_commit_are_still_to_be_written(
    kafka: Kafka,
) -> None:
    """`commit_transaction` returns before the markers are there.

    Until then, a transaction that is committed looks to a reader like this open one: the end of
    the partition is reported, and is not the end.
    """
    topic = kafka.unique("markers")
    kafka.create_topics(topic)
    producer = Producer({**kafka.config, "transactional.id": topic})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"the last batch")
    producer.flush()
    config = {**kafka.config, "group.id": topic, "fetch.wait.max.ms": 10}
    reader = LogReader({**config, **owned_by_the_guarantee()})
    seen: list[Record] = []
    low, end = Watermarks(config).of(topic, 0)
    reader.open(OffsetRange(topic, 0, low, end, seen.extend))
    for _ in range(20):
        reader.step(0.05)
    assert not reader.done()
    producer.commit_transaction()
    while not reader.done():
        reader.step(0.05)
    assert [record.value for record in seen] == [b"the last batch"]


@pytest.mark.parametrize("lost", [["labels"], ["events"], ["labels", "events"]], ids="-".join)
def test_expired_offsets_are_found_again_from_what_the_shard_wrote_itself(
    kafka: Kafka, tmp_path: Path, lost: list[str]
) -> None:
    app = App(kafka, tmp_path, labels=LATE, events={"start": "latest"})
    with app.worker() as worker:
        worker.wait_for_log("restored")
        app.send(app.events, (event_of(i, label=False) for i in range(100)))
        app.send(app.labels, map(label_of, range(60)))
        # The last word of both topics is a dead letter: outputs are more than predictions.
        app.send(app.events, [(100, b"no json")])
        app.send(app.labels, [(100, b"no json either")])
        worker.wait_until(lambda: app.resolved() == 60 and len(app.dead_letters()) == 2)
        assert worker.stop() == 0
    kafka.delete_group_offsets(app.name, [getattr(app, name) for name in lost])
    app.send(app.events, (event_of(i, label=False) for i in range(101, 150)))
    app.send(app.labels, map(label_of, range(60, 100)))
    worker = run_until(app, 150, resolved=100)
    assert sorted(record["id"] for record in app.predictions()) == [
        i for i in range(150) if i != 100
    ]
    assert len(app.dead_letters()) == 2
    assert released_digests(worker) == {0: in_order(range(100))}


@either_way
def test_a_tail_is_replayed_under_the_settings_it_was_worked_off_under(
    kafka: Kafka, tmp_path: Path, settings: dict[str, Any]
) -> None:
    app = App(kafka, tmp_path, **settings)
    app.send(app.events, map(event_of, range(200)))
    run_until(app, 200)
    # Under these bounds most of the first 200 events would have been dead letters.
    strict = {**app.settings["events"], "bounds": {"popup_window": [0.5, 0.5]}}
    app.write_settings(events=strict)
    app.send(app.events, map(event_of, range(200, 300)))
    second = run_until(app, 300)
    third = run_until(app, 300)
    good = [n for n in range(200, 300) if PHISHING[n][0]["popup_window"] == 0.5]
    assert 0 < len(good) < 100
    assert sum(PHISHING[n][0]["popup_window"] == 0.5 for n in range(200)) < 150
    expected = {0: bare_digest([PHISHING[n] for n in [*range(200), *good]])}
    assert released_digests(second) == expected
    assert released_digests(third) == expected
    notes = [note.json for note in app.read("models")]
    assert [note["from"] for note in notes if note["kind"] == "settings"] == [0, 200]


def test_another_model_under_the_same_app_is_refused_in_a_sentence(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path)
    app.send(app.events, map(event_of, range(10)))
    run_until(app, 10)
    app.write_settings(model={"river": "naive_bayes.GaussianNB()"})
    with app.worker() as worker:
        assert worker.wait() == 1
        assert "the model of app" in worker.log_text()
        assert "Traceback" not in worker.log_text()


@either_way
def test_an_event_that_breaks_the_model_while_it_learns_is_a_dead_letter_now_and_after_a_restart(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    # It raises in `learn_one` after its scaler has moved: half an example must not stay learned.
    (tmp_path / "brittle.py").write_text(
        "from river import linear_model, optim, preprocessing\n"
        "class Brittle(linear_model.LogisticRegression):\n"
        "    def learn_one(self, x, y, w=1.0):\n"
        "        if x['https'] > 5: raise ArithmeticError('broken')\n"
        "        super().learn_one(x, y, w)\n"
        "def make():\n"
        "    return preprocessing.StandardScaler() | Brittle(optimizer=optim.SGD(0.005))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    app = App(kafka, tmp_path, model={"factory": "brittle:make"}, **settings)
    poison = {**event_of(50)[1], "https": 1e30}
    app.send(app.events, map(event_of, range(50)))
    app.send(app.events, [(50, poison)])
    app.send(app.events, map(event_of, range(51, 100)))
    first = run_until(app, 100)
    (letter,) = app.dead_letters()
    assert (letter["millstream-reason"], letter["millstream-offset"]) == ("learn_error", "50")
    assert [record["id"] for record in app.predictions()] == [i for i in range(100) if i != 50]
    second = run_until(app, 100)
    assert released_digests(first) == released_digests(second)
    # To the last bit what a model says that never met the poisonous event.
    model = scaled_logistic()
    for number in (n for n in range(99) if n != 50):
        model.learn_one(*PHISHING[number])
    expected = model.predict_proba_one(PHISHING[99][0])[True]
    assert app.predictions()[-1]["probabilities"]["true"] == expected


def test_a_log_whose_beginning_is_gone_stops_the_worker_rather_than_start_from_less(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, **REPLAY)
    app.send(app.events, map(event_of, range(50)))
    run_until(app, 50)
    kafka.admin.delete_records([TopicPartition(app.events, 0, 20)])[
        TopicPartition(app.events, 0)
    ].result()
    with app.worker() as worker:
        assert worker.wait() == 1
        assert "begins at offset 20" in worker.log_text()
        assert "Traceback" not in worker.log_text()


def test_a_retention_that_passed_the_committed_offset_stops_the_worker_and_names_what_is_gone(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, labels=LATE)
    app.send(app.events, (event_of(i, label=False) for i in range(10)))
    run_until(app, 10)
    app.send(app.events, (event_of(i, label=False) for i in range(10, 30)))
    kafka.admin.delete_records([TopicPartition(app.events, 0, 25)])[
        TopicPartition(app.events, 0)
    ].result()
    with app.worker() as worker:
        assert worker.wait() == 1
        assert "the 15 records between are gone" in worker.log_text()


@either_way
def test_learning_from_transformed_features_survives_a_restart(
    kafka: Kafka, tmp_path: Path, settings: dict[str, Any]
) -> None:
    app = App(kafka, tmp_path, labels={**LATE, "learn_from": "transformed"}, **settings)
    app.send(app.events, (event_of(i, label=False) for i in range(100)))
    run_until(app, 100)
    app.send(app.labels, map(label_of, range(40)))
    first = run_until(app, 100, resolved=40)
    again = run_until(app, 100, resolved=40)
    assert released_digests(first) == released_digests(again)
    model = scaled_logistic()
    scaler, final = model.steps.values()
    for number in range(40):
        features, truth = PHISHING[number]
        then = scaled_logistic().steps["StandardScaler"].transform_one(features)
        scaler.learn_one(features)
        final.learn_one(then, truth)
    assert released_digests(first) == {0: digest(model)}


def test_a_prediction_that_waits_when_the_worker_stops_is_learned_by_the_next_one(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, labels=LATE)
    early = int(time.time() * 1000) - 60_000
    app.send(app.labels, [label_of(3)], times=[early])
    app.send(app.events, (event_of(i, label=False) for i in range(3)), times=[early + 10] * 3)
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 3 and len(app.examples("held")) == 1)
        assert worker.stop() == 0
    app.send(app.labels, map(label_of, range(3)))
    app.send(app.events, [event_of(3, label=False)])
    worker = run_until(app, 4, resolved=4)
    assert [record["id"] for record in app.examples("learned")] == [0, 1, 2, 3]
    assert "waiting=3" in worker.log_text()


def test_a_worker_that_was_frozen_expires_nothing_whose_label_came_meanwhile(
    kafka: Kafka, tmp_path: Path
) -> None:
    # Long enough for a slow machine to send the labels in time.
    app = App(kafka, tmp_path, labels={"from": "topic", "wait": "10s"})
    with app.worker() as worker:
        worker.wait_for_log("restored")
        app.send(app.events, (event_of(i, label=False) for i in range(20)))
        worker.wait_until(lambda: app.handled() == 20)
        worker.sigstop()
        app.send(app.labels, map(label_of, range(20)))
        # The wait runs out while the worker is frozen: that is what the test is about.
        time.sleep(11)
        worker.sigcont()
        worker.wait_until(lambda: app.resolved() == 20)
        assert worker.stop() == 0
    assert {record["kind"] for record in app.examples()} == {"learned"}
    assert app.dead_letters() == []


def test_predictions_expire_by_the_clock_where_no_label_comes(kafka: Kafka, tmp_path: Path) -> None:
    app = App(
        kafka, tmp_path, labels={"from": "topic", "wait": "1s", "on_timeout": {"assume": False}}
    )
    app.send(app.events, (event_of(i, label=False) for i in range(20)))
    app.send(app.labels, [label_of(99)])
    with app.worker() as worker:
        worker.wait_until(lambda: app.resolved() == 20 and len(app.dead_letters()) == 1)
        assert worker.stop() == 0
        digests = released_digests(worker)
    assert {record["kind"] for record in app.examples()} == {"expired", "held", "unmatched"}
    assert app.dead_letters()[0]["millstream-reason"] == "unmatched"
    assert digests == {0: bare_digest((PHISHING[i][0], False) for i in range(20))}


def test_an_app_that_begins_at_the_latest_event_misses_none_after_its_first_start(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, events={"start": "latest"})
    app.send(app.events, [event_of(7)])
    with app.worker() as worker:
        worker.wait_until(lambda: kafka.committed(app.name, app.events) == 1)
        assert worker.stop() == 0
    app.send(app.events, map(event_of, range(5)))
    run_until(app, 5)
    assert [record["id"] for record in app.predictions()] == [0, 1, 2, 3, 4]


def test_a_model_that_can_learn_nothing_stops_the_worker_with_a_sentence(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hopeless.py").write_text(
        "from river import linear_model\n"
        "class Hopeless(linear_model.LogisticRegression):\n"
        "    def learn_one(self, x, y, w=1.0):\n"
        "        raise ArithmeticError('never')\n"
        "def make():\n"
        "    return Hopeless()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    app = App(kafka, tmp_path, model={"factory": "hopeless:make"})
    app.send(app.events, map(event_of, range(300)))
    with app.worker() as worker:
        assert worker.wait(60) == 1
        assert "the model raised ArithmeticError on 10 examples" in worker.log_text()
        assert "Traceback" not in worker.log_text()
