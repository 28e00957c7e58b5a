"""Fixtures that every test can ask for."""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from millstream.cli import main
from tests.kafka.cluster import Kafka
from tests.kafka.fixture import session_kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on a real Kafka, so that `-m "not kafka"` leaves it out.

    Files that have such tests come first: they are few and slow, and whoever ends with one of them
    keeps everybody waiting.
    """
    slow = set()
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        if item.get_closest_marker("kafka"):
            slow.add(item.path)
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Give a real Kafka: see tests/kafka/README.md."""
    yield from session_kafka()


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    exit_code: int
    out: str
    err: str


Millstream = Callable[..., Result]


@pytest.fixture
def millstream(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Millstream:
    """Run `millstream` with these arguments, in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["millstream", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        root = logging.getLogger()
        handlers = root.handlers[:]
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            # Its own writes to what pytest closes; threads of later tests would log into that.
            root.handlers[:] = handlers
        return Result(code, *capsys.readouterr())

    return run
