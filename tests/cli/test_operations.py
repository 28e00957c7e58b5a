"""Every command of docs/operations.md, run in its order on one app."""

import re
from pathlib import Path

import orjson
import pytest
import yaml

from tests.conftest import Millstream
from tests.deploy.operations import COMMANDS, words
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

GOOD = {"payment_id": 1, "amount": 12.5, "is_fraud": False}
BAD = {"payment_id": 2, "amount": 12.5}


def settings(app: str, kafka: Kafka) -> str:
    """An app as the page has one in mind: fraud, with labels inside of its events."""
    return yaml.safe_dump({
        "app": app,
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "events": {"topic": f"{app}.in", "id": "payment_id", "features": ["amount"],
                   "label": "is_fraud"},
        "labels": {"from": "event"},
        "model": {"river": "linear_model.LogisticRegression()"},
        "http": {"port": 0},
    })  # fmt: skip


def work_off(kafka: Kafka, app: str) -> None:
    """Fifty events, and one that has no label, by a worker that then stops cleanly."""
    good = [("1", orjson.dumps(GOOD), None, None, 0)] * 50
    kafka.produce(f"{app}.in", [*good, ("2", orjson.dumps(BAD), None, None, 0)])
    with WorkerProcess(Path("millstream.yaml"), fresh=True) as worker:
        worker.wait_until(lambda: kafka.read(f"{app}.dead-letters"), message="all are worked off")
        assert worker.stop() == 0


@pytest.mark.kafka
def test_every_command_of_the_page_on_operations_does_what_it_is_shown_for(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, millstream: Millstream
) -> None:
    app = kafka.unique("fraud")
    monkeypatch.chdir(tmp_path)
    Path("millstream.yaml").write_text(settings(app, kafka), encoding="utf-8")
    Path("history.jsonl").write_bytes(orjson.dumps(GOOD) + b"\n")
    for number, line in enumerate(COMMANDS):
        with monkeypatch.context() as patch:
            for name, value in re.findall(r"(MILLSTREAM_\w+)=(\S+)", line):
                patch.setenv(name, value.replace("fraud", app))
            said = millstream(*(word.replace("12", "1") for word in words(line)))
        assert said.exit_code == 0, f"{line}: {said}"
        if number == 0:
            work_off(kafka, app)
    # What had failed was replayed, and the history sent.
    assert len(kafka.read(f"{app}.in")) == 53
