"""A signal in the first seconds, while the libraries are imported, ends a command quietly."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import inline
from tests.cli.test_main import Write
from tests.support.kafka.cluster import Kafka, wait_until

TIMEOUT_S = 60
SLOW_IMPORT = """
import time
print("importing", flush=True)
time.sleep(60)
"""


SETTINGS = """
app: signals
kafka: {bootstrap.servers: "127.0.0.1:1"}
events: {topic: sites, id: id, label: label, features: [a]}
labels: {from: event}
model: {river: linear_model.LogisticRegression()}
"""


@pytest.fixture
def importing(tmp_path: Path) -> dict[str, str]:
    """Environment in which `import river` says so and then takes a minute."""
    (tmp_path / "river.py").write_text(SLOW_IMPORT, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("check", signal.SIGINT, 130),
        ("check", signal.SIGTERM, 143),
        ("run", signal.SIGINT, 0),
        ("run", signal.SIGTERM, 0),
    ],
)
def test_a_signal_during_the_imports_ends_quietly(
    importing: dict[str, str], tmp_path: Path, command: str, number: signal.Signals, code: int
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS)
    process = subprocess.Popen(
        [sys.executable, "-m", "millstream", command, str(settings)],
        env=importing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (code, "", "")


def test_sigterm_ends_a_short_command_as_a_shell_reports_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (143, "closed\n", "")


def test_ctrl_c_delivers_what_was_read_and_says_what_was_sent(write: Write, kafka: Kafka) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites")
    process = subprocess.Popen(
        [sys.executable, "-m", "millstream", "send", write(inline(app, kafka.bootstrap)), "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        process.stdin.write('{"x": 1}\n{"x": 2}\n')
        process.stdin.flush()
        wait_until(lambda: kafka.end_offsets(f"{app}.sites")[0] == 2, message="two events")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (130, "")
    assert f"sent 2 events to {app}.sites, with running numbers 1 to 2 as ids" in out


WAITS = """
import sys, time
from millstream import __main__, cli

def wait():
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("closed")

cli.main = wait
sys.argv = ["millstream", "tail"]
__main__.main()
"""
