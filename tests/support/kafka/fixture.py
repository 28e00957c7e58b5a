"""Which Kafka the tests run on: a given one, one started here, or none and why."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.kafka.cluster import Kafka, wait_until

SCRIPT = Path(__file__).with_name("kafka-local")
_START_TIMEOUT_S = 420
"""The first start on a machine downloads Kafka's jars."""


class LocalKafka:
    """A cluster of `kafka-local`, in a folder and on ports of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        lines = self._run(
            "start", "--port", "0", "--owner", str(os.getpid()), *options, timeout=_START_TIMEOUT_S
        )
        self.env = dict(line.split("=", 1) for line in lines.splitlines())
        """What the script printed: `KAFKA_BOOTSTRAP_SERVERS` and so on."""

    def kill(self, broker: int = 1) -> None:
        """End a broker with SIGKILL."""
        self._run("kill", str(broker))

    def stop_broker(self, broker: int = 1, timeout: float = 60) -> None:
        """End a broker in good order (SIGTERM), and wait until it is gone."""
        pid = int((self.folder / f"broker-{broker}" / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not _alive(pid), timeout, f"broker {broker} has ended")

    def restart(self, broker: int = 1) -> None:
        """Start a broker again on its data, and wait until it is ready."""
        self._run("restart", str(broker))

    def pause(self, broker: int = 1) -> None:
        """Stop a broker with SIGSTOP: its sockets stay open, nothing answers."""
        self._run("pause", str(broker))

    def resume(self, broker: int = 1) -> None:
        """Let a paused broker go on."""
        self._run("resume", str(broker))

    def stop(self) -> None:
        """End every broker."""
        self._run("stop")

    def _run(self, command: str, *options: str, timeout: float = 120) -> str:
        done = subprocess.run(
            [str(SCRIPT), command, "--dir", str(self.folder), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kafka-local {command} failed: {done.stderr.strip()}")
        return done.stdout


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def local_kafka(*options: str) -> Iterator[LocalKafka]:
    """Start a cluster with options of `kafka-local start`; stop it and wipe its data at the end."""
    with tempfile.TemporaryDirectory(prefix="millstream-kafka-") as folder:
        cluster: LocalKafka | None = None
        try:
            cluster = LocalKafka(Path(folder), *options)
            yield cluster
        finally:
            if cluster is not None:
                cluster.stop()


def missing_for_local_kafka() -> str | None:
    """Say what this machine lacks to start Kafka; None if it lacks nothing."""
    if shutil.which("java") is None:
        return "no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or install Java 17 or newer and Maven"
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kafka-local"
    has_jars = os.environ.get("KAFKA_LOCAL_LIBS") or any(cached.glob("[0-9]*"))
    if shutil.which("mvn") is None and not has_jars:
        return "no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or install Maven (Java is there)"
    return None


def running_in_ci() -> bool:
    """Whether a missing broker is a failure rather than a skip."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def session_kafka() -> Iterator[Kafka]:
    """Give the cluster of a test session; skip where there is none, fail in CI."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Kafka(given)
        return
    if missing := missing_for_local_kafka():
        (pytest.fail if running_in_ci() else pytest.skip)(missing)
    with local_kafka() as cluster:
        yield Kafka(cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
