"""Failpoints kill where they are named, when it is their time, and nowhere else."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millstream import _failpoints as failpoints
from millstream.errors import SettingsError

PACKAGE = Path(failpoints.__file__).parents[1]


def run(source: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"from millstream._failpoints import arm, reach\n{source}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_armed_failpoint_kills_at_its_time_after_its_last_act() -> None:
    died = run(
        "say = lambda: print('last', flush=True)\n"
        "arm('after_poll:3')\n"
        "for number in range(9):\n"
        "    reach('before_commit', say)\n"
        "    print(number, flush=True)\n"
        "    reach('after_poll', say)\n"
    )
    assert died.returncode == -signal.SIGKILL
    assert died.stdout.split() == ["0", "1", "2", "last"]


def test_without_an_armed_failpoint_nothing_dies() -> None:
    assert run("arm(None)\nfor _ in range(9): reach('after_poll', exit)").returncode == 0


def test_a_failpoint_with_seconds_sleeps_once_and_goes_on() -> None:
    slept = run(
        "arm('after_poll:2:0.01')\n"
        "for _ in range(9): reach('after_poll', lambda: print('last'))\n"
        "print('done')"
    )
    assert slept.returncode == 0
    assert slept.stdout.split() == ["last", "done"]


@pytest.mark.parametrize("text", ["befor_commit", "before_commit:x", ""])
def test_a_failpoint_that_is_not_there_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="MILLSTREAM_FAILPOINT"):
        failpoints.arm(text)


def test_every_failpoint_is_somewhere_in_the_worker_and_every_one_there_has_a_name() -> None:
    reached = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r'failpoints\.reach\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert reached == set(failpoints.NAMES)
