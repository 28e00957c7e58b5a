"""An app in memory writes what the same app writes on Kafka."""

import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from millstream import Memory, Worker
from tests.support.kafka.app import FEATURES, PHISHING
from tests.support.kafka.cluster import Kafka, wait_until

CLOCKS = ("predicted_at", "event_time", "time", "written_at")
"""Fields that the worker's clock has to do with."""


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in CLOCKS}
    return {
        name: timeless(value) if isinstance(value, dict) else value for name, value in kept.items()
    }


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_in_a_program_and_an_app_in_memory_write_the_same_records(
    kafka: Kafka, tmp_path: Path, late: bool
) -> None:
    app = kafka.unique("same")
    labels = {"from": "topic", "topic": f"{app}.verdicts", "wait": "1h", "label": "y"}
    settings: dict[str, Any] = {
        "app": app,
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "events": {"topic": f"{app}.in", "id": "id", "features": FEATURES},
        "labels": labels if late else {"from": "event"},
        "model": {"river": "preprocessing.StandardScaler() | linear_model.LogisticRegression()"},
        "http": {"enabled": False},
    }  # fmt: skip
    if not late:
        settings["events"]["label"] = "y"
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    outputs = [f"{app}.{each}" for each in ("predictions", "models", "dead-letters")]
    outputs += [f"{app}.examples", f"{app}.verdicts"] if late else []
    kafka.create_topics(f"{app}.in", *outputs)
    rows = [{"id": n, **x, "y": y} for n, (x, y) in enumerate(PHISHING[:80])]
    rows[40]["https"] = 1e200
    memory = Memory(tmp_path / "app.yaml")
    memory.run(rows, labels_after=5 if late else None)
    logs = memory.worker.logs
    for topic in (f"{app}.in", *([f"{app}.verdicts"] if late else [])):
        sent = [(r.key, r.value, None, r.timestamp, 0) for r in logs.records(topic, 0)]
        kafka.produce(topic, sent)
    worker = Worker(tmp_path / "app.yaml")
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        topics = [
            f"{app}.predictions",
            f"{app}.dead-letters",
            *([f"{app}.examples"] if late else []),
        ]
        for topic in topics:
            there = len(logs.records(topic, 0))
            assert there
            wait_until(lambda: len(kafka.read(topic)) >= there, 90, f"{topic} is full")
    finally:
        worker.stop()
        thread.join(60)
    assert not thread.is_alive()
    for topic in topics:
        if topic.endswith("dead-letters"):
            found = [(m.key, m.value, m.headers) for m in kafka.read(topic)]
            assert found == [(r.key, r.value, r.headers) for r in logs.records(topic, 0)]
            continue
        here = [timeless(orjson.loads(record.value or b"")) for record in logs.records(topic, 0)]
        assert [timeless(message.json) for message in kafka.read(topic)] == here
