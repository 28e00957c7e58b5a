"""Every measured loop is a process of its own: arguments as JSON in argv, one JSON line out."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from tests.support.kafka.worker import WorkerProcess

_TIMEOUT_S = 600


class BenchmarkError(Exception):
    """A measurement that cannot count; the message is one sentence for the reader."""


def command(module: str, *, python: str = sys.executable, **arguments: Any) -> list[str]:
    """How to start `python -m benchmarks.<module>`."""
    return [python, "-m", f"benchmarks.{module}", orjson.dumps(arguments).decode()]


@contextmanager
def started(module: str, **arguments: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program of this package, for `result` to wait for; it never outlives the block."""
    with subprocess.Popen(command(module, **arguments), stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to one that has ended


def result(process: subprocess.Popen[bytes]) -> Any:
    """Wait for a program that was started, and return what it printed."""
    printed, _ = process.communicate(timeout=_TIMEOUT_S)
    if process.returncode:
        raise BenchmarkError(
            f"one of its programs ended with exit code {process.returncode}; {process.args!r}"
        )
    return orjson.loads(printed)


def run(module: str, **arguments: Any) -> Any:
    """Start a program and wait for its result."""
    with started(module, **arguments) as process:
        return result(process)


def answer(program: Callable[..., Any]) -> None:
    """Be such a program: call `program` with the arguments, print what it returns."""
    print(orjson.dumps(program(**orjson.loads(sys.argv[1]))).decode())


class Loop(WorkerProcess):
    """A program that works until SIGTERM, watched as the worker itself is."""

    def __init__(
        self, module: str, log: Path, *, python: str = sys.executable, **arguments: Any
    ) -> None:
        """`python`: the interpreter, where it is not this one."""
        super().__init__(log, log=log)
        self.command = command(module, python=python, **arguments)

    def sigkill(self) -> None:
        """Kill it and those that it started, such as a JVM."""
        os.killpg(self.process.pid, signal.SIGKILL)
        super().sigkill()
