"""A record that kills the process: it is found, and left out; nothing else is."""

from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import orjson
import pytest

from millstream.core.models.interface.state_digest import digest
from tests.support.kafka.app import FEATURES, PHISHING, App, event_of, label_of, released_digests
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

INLINE = {"from": "event"}
LATE = {"from": "topic", "wait": "1h"}
EVENTS = 60
KILLER = 33
MAX_CRASHES = 2
MODULE = """
import os, signal
from river import linear_model, optim

class Deadly(linear_model.LogisticRegression):
    def predict_proba_one(self, x):
        die_of(x, 13.5)
        return super().predict_proba_one(x)

    def learn_one(self, x, y, w=1.0):
        die_of(x, 17.5)
        super().learn_one(x, y, w)

def die_of(x, value):
    if value in x.values():
        os.kill(os.getpid(), signal.SIGKILL)

def model():
    return Deadly(optimizer=optim.SGD(0.005))
"""
DEADLY = {"predict": 13.5, "learn": 17.5}


class Supervised:
    """A worker that is started again whenever it died, as an orchestrator does."""

    def __init__(self, app: App, folder: Path) -> None:
        (folder / "deadly.py").write_text(MODULE)
        self.worker = WorkerProcess(app.file, env={"PYTHONPATH": str(folder)})
        self.deaths = 0

    def wait_until(self, condition: Any, timeout: float = 200) -> None:
        def met() -> bool:
            if not self.worker.running:
                assert self.worker.process.returncode == -9, self.worker.log_text()[-4000:]
                self.deaths += 1
                self.worker.start()
            return bool(condition())

        # `worker.wait_until` would fail at the first death.
        wait_until(met, timeout, f"after {self.deaths} deaths: {self.worker.log_text()[-3000:]}")


def make_app(kafka: Kafka, folder: Path, labels: Mapping[str, str], **more: Any) -> App:
    """An app with the deadly model, whose group notices a dead worker soon."""
    app = App(kafka, folder, labels=labels, model={"factory": "deadly:model"}, **more)
    app.write_settings(
        kafka={
            "bootstrap.servers": kafka.bootstrap,
            "session.timeout.ms": 2_000,
            "heartbeat.interval.ms": 500,
        },
        recovery={"max_crashes": MAX_CRASHES},
    )
    return app


def restored(worker: WorkerProcess) -> int:
    """How often it has restored its shard."""
    return worker.log_text().count("restored (")


def expected_digest(folder: Path) -> str:
    """Of the bare model, without the record that kills."""
    spec = spec_from_file_location("deadly", folder / "deadly.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.model()
    for number in range(EVENTS):
        if number != KILLER:
            model.learn_one(*PHISHING[number])
    return digest(model)


@pytest.mark.parametrize(
    ("labels", "guarantee", "where"),
    [
        (INLINE, "exactly_once", "predict"),
        (INLINE, "at_least_once", "learn"),
        (LATE, "exactly_once", "learn"),
        (LATE, "at_least_once", "predict"),
    ],
)
def test_a_record_that_kills_the_process_ends_in_dead_letters_and_all_others_as_ever(
    kafka: Kafka, tmp_path: Path, labels: dict[str, str], guarantee: str, where: str
) -> None:
    app = make_app(kafka, tmp_path, labels, processing_guarantee=guarantee)
    events = [event_of(number, label=not app.late) for number in range(EVENTS)]
    events[KILLER][1][FEATURES[0]] = DEADLY[where]
    app.send(app.events, events)
    if app.late:
        app.send(app.labels, [label_of(number) for number in range(EVENTS)])

    supervised = Supervised(app, tmp_path)
    with supervised.worker as worker:
        # What was left out for good is known when the last event and the last label are.
        supervised.wait_until(
            lambda: (
                app.kafka.committed(app.name, app.events, 0) == EVENTS
                and (not app.late or app.kafka.committed(app.name, app.labels, 0) == EVENTS)
            )
        )
        assert worker.stop() == 0
        digests = released_digests(worker)
        assert supervised.deaths >= MAX_CRASHES
        assert digests[0] == expected_digest(tmp_path)

        letters = [each for each in app.dead_letters() if each["millstream-reason"] != "unmatched"]
        late_learn = app.late and where == "learn"
        topic = app.labels if late_learn else app.events
        found = {(each["millstream-topic"], each["millstream-reason"]) for each in letters}
        assert found == {(topic, "quarantined")}
        assert {int(each["millstream-offset"]) for each in letters} == {KILLER}
        ids = sorted(record["id"] for record in app.predictions())
        wanted = [n for n in range(EVENTS) if n != KILLER or late_learn]
        assert (ids if guarantee == "exactly_once" else sorted(set(ids))) == wanted

        # A replay leaves it out as well.
        restores = restored(worker)
        worker.start()
        worker.wait_until(lambda: restored(worker) > restores)
        assert worker.stop() == 0
        assert released_digests(worker) == digests


def test_a_record_that_kills_draws_no_other_partition_into_it(kafka: Kafka, tmp_path: Path) -> None:
    app = make_app(kafka, tmp_path, INLINE, partitions=2)
    killer = EVENTS // 2 - 2
    for partition in (0, 1):
        # One in each: whichever partition is worked off before the other, the innocent event at
        # its end is the last that was named there when the other one's kills.
        events = [event_of(2 * number + partition) for number in range(EVENTS // 2)]
        events[killer][1][FEATURES[0]] = DEADLY["predict"]
        app.send(app.events, events, partition=partition)
    supervised = Supervised(app, tmp_path)
    with supervised.worker as worker:
        supervised.wait_until(lambda: app.handled() == EVENTS)
        assert worker.stop() == 0
    letters = [(each["millstream-partition"], each["millstream-offset"], each["millstream-reason"])
               for each in app.dead_letters()]  # fmt: skip
    assert sorted(letters) == [(each, str(killer), "quarantined") for each in ("0", "1")]


def test_a_worker_killed_again_and_again_while_it_idles_or_restores_blames_no_record(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = make_app(kafka, tmp_path, INLINE)
    supervised = Supervised(app, tmp_path)
    with supervised.worker as worker:
        for number in range(4 * MAX_CRASHES):
            app.send(app.events, [event_of(number)])
            wait_until(lambda: app.handled() == number + 1)
            worker.sigkill()
            worker.start()
        for _ in range(2 * MAX_CRASHES):
            assigned = worker.log_text().count("partitions assigned")
            worker.wait_until(lambda: worker.log_text().count("partitions assigned") > assigned)
            worker.sigkill()
            worker.start()
        app.send(app.events, [event_of(number) for number in range(4 * MAX_CRASHES, EVENTS)])
        worker.wait_until(lambda: app.handled() == EVENTS)
        assert worker.stop() == 0
    assert app.dead_letters() == []
    notes = [
        orjson.loads(message.value)
        for message in kafka.read(app.topic("models"))
        if message.key == b"0/attempt" and message.value
    ]
    assert notes[-1]["crashes"] == 0
