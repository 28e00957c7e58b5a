"""Predictions that wait on disk, and at most so many of them."""

from pathlib import Path

import pytest

from tests.support.kafka.app import PHISHING, App, bare_digest, event_of, label_of, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.crashes import (
    assert_as_if_undisturbed,
    finish,
    kill_at_random_moments,
    shorten_session,
)
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

KILLS = 4
LATE = {"from": "topic", "wait": "1h"}
DISK = {"store": "disk"}


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_killed_while_its_predictions_wait_on_disk_is_as_one_that_keeps_them_in_memory(
    kafka: Kafka, tmp_path: Path, guarantee: str
) -> None:
    app = App(
        kafka, tmp_path, labels=LATE, processing_guarantee=guarantee,
        batch={"max_records": 50}, waiting={**DISK, "directory": str(tmp_path)},
    )  # fmt: skip
    shorten_session(app)
    files = {path.name for path in tmp_path.iterdir()}
    with app.worker() as worker:
        with Feed(kafka, app, per_second=50) as feed:
            kill_at_random_moments(app, worker, KILLS)
        finish(app, worker, feed.sent)
        digests = released_digests(worker)
    left = {path.name for path in tmp_path.iterdir()} - files
    assert {Path(name).suffix for name in left} <= {".log"}, "nothing but logs is left behind"
    assert_as_if_undisturbed(app, tmp_path, feed.sent, digests)


def test_what_waits_on_disk_outlives_a_batch_that_is_aborted(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaking.py").write_text(
        "from river import linear_model, optim, preprocessing\n"
        "class Breaks(linear_model.LogisticRegression):\n"
        "    def learn_one(self, x, y, w=1.0):\n"
        "        if len(x) == 1:\n"
        "            raise ArithmeticError('one feature')\n"
        "        super().learn_one(x, y, w)\n"
        "def make():\n"
        "    return preprocessing.StandardScaler() | Breaks(optimizer=optim.SGD(.005))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    app = App(
        kafka, tmp_path, labels=LATE, model={"factory": "breaking:make"}, waiting=DISK,
        events={"features": "all"},
    )  # fmt: skip
    events = [event_of(i, label=False) for i in range(60)]
    events[30] = (30, {"id": 30, "alone": 1.0})
    with app.worker() as worker:
        worker.wait_for_log("restored")
        app.send(app.events, events)
        worker.wait_until(lambda: app.handled() == 60)
        app.send(app.labels, map(label_of, range(50)))
        worker.wait_until(lambda: app.resolved() == 50)
        assert worker.stop() == 0
    assert "waiting_kept=True" in worker.log_text()
    assert "waiting=10" in worker.log_text()
    kinds = {record["id"]: record["kind"] for record in app.examples()}
    assert kinds == {i: "failed" if i == 30 else "learned" for i in range(50)}
    learned = [record["learned"] for record in app.examples("learned")]
    assert learned == list(range(1, 50))
    with app.worker(1) as again:
        again.wait_for_log("restored")
        assert again.stop() == 0
    assert released_digests(again) == released_digests(worker)


def test_a_worker_whose_predictions_wait_without_bound_stops_with_a_sentence(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, labels={**LATE, "max_waiting": 20})
    app.send(app.events, (event_of(i, label=False) for i in range(30)))
    with app.worker() as worker:
        assert worker.wait(60) == 1
        text = worker.log_text()
        assert "20 predictions of partition 0 wait for their labels" in text
        assert "Traceback" not in text
    app.write_settings(labels={**app.settings["labels"], "max_waiting": 40})
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 30)
        assert worker.stop() == 0
    assert_each_event_has_one_prediction(app, 30, repeats=False)


@pytest.mark.parametrize("store", ["memory", "disk"])
def test_predictions_that_are_given_up_early_are_so_after_a_restart_too(
    kafka: Kafka, tmp_path: Path, store: str
) -> None:
    labels = {**LATE, "max_waiting": 20, "at_max": "expire_oldest"}
    app = App(kafka, tmp_path, labels=labels, waiting={"store": store})
    app.send(app.events, (event_of(i, label=False) for i in range(30)))
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 30 and app.resolved() == 10)
        worker.sigkill()
    app.send(app.labels, map(label_of, range(30)))
    with app.worker() as worker:
        worker.wait_until(lambda: app.resolved() == 30 and len(app.dead_letters()) == 10)
        assert worker.stop() == 0
    early = [record["id"] for record in app.examples("expired") if record["early"]]
    assert early == list(range(10))
    assert {letter["millstream-reason"] for letter in app.dead_letters()} == {"late"}
    assert released_digests(worker) == {0: bare_digest(PHISHING[10:30])}
