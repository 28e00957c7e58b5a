"""A run that goes wrong ends, and says why in a few lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.standing_still import explain_long

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.support.standing_still import StandingStill

class FromTheFirstTestOn(StandingStill):
    # Before it, pytest-xdist starts its processes, which may take longer than that.
    def pytest_runtest_logstart(self, nodeid):
        self._patience = 3
        super().pytest_runtest_logstart(nodeid)

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FromTheFirstTestOn(config, 60))
"""
TESTS = """
import threading

def test_that_passes(): pass

def test_that_never_returns(): threading.Event().wait()
"""


def test_a_run_in_which_nothing_happens_any_more_ends_and_names_the_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 1
    assert "no test has begun or ended for 3 s; under way:" in done.stdout
    assert "test_it.py::test_that_never_returns, for " in done.stdout
    assert "test_that_passes, for" not in done.stdout


def test_long_lists_are_explained_by_their_first_difference() -> None:
    left = [f"line {i}" for i in range(1000)]
    right = [*left[:700], "another", *left[701:]]
    assert explain_long("==", left, right) == [
        "two of list, 1000 and 1000 long, differ from index 700 on:",
        "left:  ['line 700']",
        "right: ['another']",
    ]


def test_of_a_list_that_goes_on_longer_its_next_item_is_shown() -> None:
    left = list(range(1000))
    assert (explain_long("==", left, left[:-1]) or [])[1:] == ["left:  [999]", "right: []"]


@pytest.mark.parametrize(
    ("op", "left", "right"),
    [("==", [1], [2]), ("in", "a" * 200, "b" * 200), ("==", [0] * 200, "a" * 200), ("==", 1, 2)],
)
def test_the_rest_is_left_to_pytest(op: str, left: object, right: object) -> None:
    assert explain_long(op, left, right) is None
