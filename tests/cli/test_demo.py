"""`demo` runs the real loop and comes to River's own accuracy."""

import os
import re
import subprocess
import sys

from tests.cli.conftest import UNREACHABLE
from tests.support.kafka.cluster import Kafka

ACCURACY = "88.7200%"
TIMEOUT_S = 120


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millstream", "demo", "--seconds", "1", *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_the_demo_without_kafka_equals_river_and_says_what_it_stands_for() -> None:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(ACCURACY) == 2
    assert re.search(r"River alone on this data +88\.7200% +equal", done.stdout)
    assert "1,250 events predicted and learned" in done.stdout
    assert "in memory" in done.stdout
    assert "at-least-once" in done.stdout
    assert done.stderr == ""


def test_the_demo_on_a_real_kafka_is_exactly_once(kafka: Kafka) -> None:
    done = demo("--bootstrap", kafka.bootstrap)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(ACCURACY) == 2
    assert "0 predictions came twice" in done.stdout
    app = re.search(r"millstream-demo-[0-9a-f]+", done.stdout)
    assert app
    predictions = kafka.read(f"{app.group()}.predictions")
    assert [message.json["id"] for message in predictions] == list(range(1, 1251))
    assert done.stderr == ""


def test_the_demo_on_a_kafka_that_is_not_there_is_one_line() -> None:
    done = demo("--bootstrap", UNREACHABLE)
    assert done.returncode == 1
    assert done.stderr.startswith("millstream: no Kafka broker answers (")
    assert done.stderr.count("\n") == 1
