"""Fixtures that every test can ask for."""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from millstream.cli import main
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.fixture import running_in_ci, session_kafka
from tests.support.standing_still import StandingStill, explain_long

# How long a busy machine takes says nothing of the code: no test may fail by it.
settings.register_profile("millstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("millstream")


def pytest_configure(config: pytest.Config) -> None:
    """End a run in CI that stands still; elsewhere somebody may be debugging."""
    if running_in_ci() and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(StandingStill(config))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell a failure when it comes, in CI: a run that then ends otherwise would not name it."""
    if report.failed and running_in_ci() and "PYTEST_XDIST_WORKER" not in os.environ:
        why = [line for line in report.longreprtext.splitlines() if line.startswith("E ")][:4]
        print("", f"FAILED {report.nodeid} ({report.when})", *why, sep="\n", file=sys.__stderr__)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain what is too long for pytest's own way."""
    return explain_long(op, left, right)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a test that its time-out ended where pytest 9 cannot show it, rather than end the run.

    The time-out's signal may raise in an instruction that has no line (Python 3.11 has such at the
    ends of `with` blocks); pytest counts on one, and its TypeError ends the run without a name.
    """
    try:
        return (yield)
    except TypeError as error:
        if call.excinfo is None:
            raise
        plain = pytest.CallInfo.from_call(lambda: None, call.when)
        report = pytest.TestReport.from_item_and_call(item, plain)
        report.outcome = "failed"
        report.longrepr = f"{call.excinfo.exconly()}\npytest cannot show it: {error}\n" + "\n".join(
            f"{frame.f_code.co_filename}:{line}: {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(call.excinfo.tb)
        )
        return report


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Give a real Kafka: see tests/integration/README.md."""
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
