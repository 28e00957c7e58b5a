"""What a run says and does when it goes wrong: short differences, an end rather than a wait."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

STANDS_STILL_S = 600
"""Longer than any test may take, and than a first start of Kafka, which downloads its jars."""
_LONG = 100


def explain_long(op: str, left: object, right: object) -> list[str] | None:
    """Say where two long sequences part; None for others, which pytest explains well.

    With CI=true pytest looks for the smallest difference of the whole, by a search that takes
    minutes for a thousand lines that differ a little.
    """
    if op != "==" or not (_is_long(left) or _is_long(right)) or type(left) is not type(right):
        return None
    assert isinstance(left, Sequence)
    assert isinstance(right, Sequence)
    lengths = f"two of {type(left).__name__}, {len(left)} and {len(right)} long"
    at = next(
        (i for i, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )
    several = slice(at, at + (60 if isinstance(left, str | bytes) else 1))
    return [
        f"{lengths}, differ from index {at} on:",
        f"left:  {_start(left[several])}",
        f"right: {_start(right[several])}",
    ]


def _is_long(value: object) -> bool:
    return isinstance(value, list | tuple | str | bytes) and len(value) > _LONG


def _start(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 500 else f"{text[:500]}..."


class StandingStill:
    """Ends a run of pytest-xdist in which no test has begun or ended for ten minutes.

    A process that is lost or stuck where its own time-outs do not reach it, as in the destructor of
    a client of Kafka, would keep the others waiting for ever and would never be named.
    """

    def __init__(self, config: pytest.Config, patience: float = STANDS_STILL_S) -> None:
        self._config = config
        self._patience = patience
        self._under_way: dict[str, float] = {}
        self._last = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._last = time.monotonic()
        self._under_way[nodeid] = self._last

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._last = time.monotonic()
        self._under_way.pop(nodeid, None)

    def _watch(self) -> None:
        while (left := self._last + self._patience - time.monotonic()) > 0:
            time.sleep(min(left, 10))
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nno test has begun or ended for {self._patience:g} s; under way:")
        for nodeid, begun in [*self._under_way.items()]:
            reporter.write_line(f"  {nodeid}, for {time.monotonic() - begun:.0f} s")
        xdist: Any = self._config.pluginmanager.get_plugin("dsession")
        if xdist is not None:
            xdist.nodemanager.teardown_nodes()
        os._exit(1)
