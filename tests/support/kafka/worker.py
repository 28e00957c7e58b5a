"""The worker as a process of its own, to be stopped, killed, frozen and woken up."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.kafka.cluster import T, wait_until
from tests.support.kafka.forked import Forked

_LOG_TAIL = 4000
_STACKS = 8000


class WorkerProcess:
    """`python -m millstream run SETTINGS`; as a context manager it never outlives its test.

    Both of its streams go to `log`, beside the settings file unless another path is given; a
    second start appends. `fresh`: a process from the very beginning, where the time of a start, or
    what happens before the settings are read, matters; else see `forked`.
    """

    def __init__(
        self,
        settings: Path,
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        options: tuple[str, ...] = (),
        fresh: bool = False,
    ) -> None:
        self._arguments = ["run", str(settings), *options]
        self.command: list[str] = []
        """Another program, to be started in place of the worker."""
        self._fresh = fresh
        self.log = log or settings.with_suffix(".log")
        # A log that is there is another worker's: what it says proves nothing of this one.
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        self._env = {
            **os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **(env or {})
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self.leaving = False
        """Whether it was told to end since its last start."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def start(self) -> None:
        """Start the process; an earlier one has to have ended."""
        assert not self.running, "it runs already"
        self.leaving = False
        if not (self._fresh or self.command):
            self._process = Forked(self._arguments, self._env, self.log)
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command or [sys.executable, "-m", "millstream", *self._arguments],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def process(self) -> subprocess.Popen[bytes] | Forked:
        """The process that was started last."""
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def running(self) -> bool:
        """Whether the process has not ended (a frozen one has not)."""
        return self._process is not None and self._process.poll() is None

    def sigterm(self) -> None:
        """Ask it to stop, as an orchestrator does."""
        self.leaving = True
        self.process.send_signal(signal.SIGTERM)

    def sigint(self) -> None:
        """Ask it to stop, as Ctrl-C does."""
        self.leaving = True
        self.process.send_signal(signal.SIGINT)

    def sigkill(self) -> None:
        """Kill it and wait until it is gone."""
        self.leaving = True
        self.process.kill()
        self.process.wait(30)

    def sigstop(self) -> None:
        """Freeze it."""
        self.process.send_signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        """Let a frozen one go on."""
        self.process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float = 30) -> int:
        """Return the exit code; fail, with the end of the log, where it does not come in time."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            said = f"did not end within {timeout:g} s; {self._tail()}"
            raise AssertionError(f"{said}\n{self._stacks()}") from None

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM, then the exit code."""
        self.sigterm()
        return self.wait(timeout)

    def wait_until(
        self,
        condition: Callable[[], T],
        timeout: float = 120,
        message: str | Callable[[], str] = "",
    ) -> T:
        """Like `cluster.wait_until`, but fails at once, with its log, when the worker ends."""

        def condition_while_running() -> T:
            ended = not self.running
            answer = condition()
            if ended and not answer:
                raise AssertionError(f"ended with {self.process.returncode}; {self._tail()}")
            return answer

        try:
            return wait_until(condition_while_running, timeout, message)
        except AssertionError as error:
            if self.running:
                raise AssertionError(f"{error}; {self._tail()}\n{self._stacks()}") from None
            raise

    def wait_for_log(self, text: str, timeout: float = 120) -> None:
        """Wait until the log holds `text`."""
        self.wait_until(lambda: text in self.log_text(), timeout, f"the log says {text!r}")

    def log_text(self) -> str:
        """All that it has written so far, under each of its starts."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_begins)
            return log.read().decode(errors="replace")

    def end(self) -> None:
        """Make sure that the process is gone."""
        if self.running:
            self.sigkill()

    def _stacks(self) -> str:
        """Where each of its threads stands, for a failure: it does not survive the question."""
        before = len(self.log_text())
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        return f"its threads stood at:\n{self.log_text()[before:][:_STACKS]}"

    def _tail(self) -> str:
        return f"its log ends:\n{self.log_text()[-_LOG_TAIL:]}"
