"""Starts workers, restarts those that were killed, and ends all of them together.

An error that ends a worker (a non-zero exit code, with a sentence) would end the next one as well,
so it ends all. A signal that kills one (by the kernel for want of memory, or a crash of a library)
concerns no other, so that one is started again; each time in a row after a longer wait.
"""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from millstream.errors import Stop

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0
SETTLED_SECONDS: Final = 60.0
"""After running for so long, a worker's next restart is a first one again."""
LEAVE_SECONDS: Final = 100.0
"""How long workers may take for a batch, a commit and snapshots; those that hang are killed then,
before an orchestrator (120 s in our manifests) kills them all."""
TURN_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)

Command = Callable[[int, int], Sequence[str]]
"""From a worker's number and a file descriptor (see `ControlChannel`) to its command line."""


class WorkerEnded(Stop):
    """A worker ended with an error, which it has logged."""

    def __init__(self, number: int, count: int, exit_code: int, *, asked: bool) -> None:
        """`asked`: whether it was asked to end, as all were."""
        how = f"ended with exit code {exit_code} (it says why above)"
        super().__init__(
            f"worker {number} of {count} was asked to stop and {how}"
            if asked
            else f"worker {number} of {count} {how}, so the others were ended as well"
        )
        self.exit_code = exit_code


class Child:
    """One worker: at most one process at a time."""

    def __init__(self, number: int, command: Command, first_wait: float) -> None:
        self.number = number
        self.restarts = 0
        self.started_at = 0.0
        """Seconds, by the monotonic clock."""
        self._command = command
        self._first_wait = first_wait
        self._wait = first_wait
        self._due: float | None = None
        self._channel: socket.socket | None = None
        self._received = b""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its process; raises OSError where the system has no room for one."""
        ours, theirs = socket.socketpair()
        with ExitStack() as failed, theirs:
            failed.callback(ours.close)
            # A session of its own: Ctrl-C reaches the supervisor alone, which then ends them all.
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                self._command(self.number, theirs.fileno()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            failed.pop_all()
        ours.settimeout(0)
        self._channel, self._received, self._due = ours, b"", None
        self.started_at = time.monotonic()

    def ended(self) -> int | None:
        """Exit code of a process that has ended since the last call; negative: by which signal."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self._hang_up()
        return code

    def plan_restart(self) -> float:
        """Start again after a wait, in seconds, which is returned."""
        now = time.monotonic()
        if now - self.started_at > SETTLED_SECONDS:
            self._wait = self._first_wait
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT_SECONDS)
        self._due = now + wait
        return wait

    def restart_if_due(self) -> None:
        """Start again, if a restart is planned and its time has come."""
        if self._due is None or time.monotonic() < self._due:
            return
        try:
            self.start()
        except OSError as error:  # such as for want of memory, which is when workers are killed
            wait = self.plan_restart()
            extra = {"worker": self.number, "why": error.strerror, "after_seconds": wait}
            _log.warning("a worker cannot be started now, and will be tried again", extra=extra)
            return
        self.restarts += 1

    # Threads that answer over HTTP ask these two while the supervisor changes what they read.

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        process = self.process
        return process is not None and process.poll() is None

    @property
    def address(self) -> str | None:
        """The address of its metrics as `host:port`, once it has sent it."""
        received = self._received
        return received[:-1].decode() if received.endswith(b"\n") else None

    def listen(self) -> None:
        """Receive what the process has sent."""
        if self._channel is not None and not self._received.endswith(b"\n"):
            with suppress(BlockingIOError, ConnectionError):
                self._received += self._channel.recv(256)

    def terminate(self) -> None:
        """Send SIGTERM: the first one asks it to end, the second one ends it at once."""
        if self.running and self.process is not None:
            self.process.terminate()

    def wait(self, seconds: float) -> int:
        """Wait until it has ended, and return its exit code; 0 where it had no process.

        One that takes longer is killed: what it had not committed, the next worker does again.
        """
        if self.process is None:
            return 0
        try:
            code = self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            _log.error("a worker does not end, and is killed", extra={"worker": self.number})
            self.process.kill()
            code = self.process.wait()
        self._hang_up()
        return code

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, self.process, self._received = None, None, b""


class Supervisor:
    """`count` workers, until `stop` or until one of them ends by itself."""

    def __init__(
        self,
        count: int,
        command: Command,
        *,
        first_wait: float = FIRST_WAIT_SECONDS,
        leave_seconds: float = LEAVE_SECONDS,
    ) -> None:
        """`first_wait`: seconds before the first restart in a row.

        `leave_seconds`: how long all of them may take to end, until they are killed.
        """
        self._leave_seconds = leave_seconds
        self.children = [Child(number, command, first_wait) for number in range(count)]
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask all of them to finish and to end; from any thread, or a signal."""
        self._stopping.set()

    def terminate(self) -> None:
        """Send SIGTERM to all: the first one asks, the second one ends them at once."""
        for child in self.children:
            child.terminate()

    def run(self) -> None:
        """Work until `stop`; raises `WorkerEnded` where one ended by itself, or badly."""
        try:
            for child in self.children:
                child.start()
            while not self._stopping.wait(TURN_SECONDS):
                for child in self.children:
                    self._look_after(child)
        finally:
            self.terminate()
            until = time.monotonic() + self._leave_seconds
            codes = [child.wait(until - time.monotonic()) for child in self.children]
        for child, code in zip(self.children, codes, strict=True):
            if code > 0:
                raise WorkerEnded(child.number, len(self.children), code, asked=True)

    def _look_after(self, child: Child) -> None:
        child.listen()
        child.restart_if_due()
        code = child.ended()
        if code is None:
            return
        if code > 0:
            raise WorkerEnded(child.number, len(self.children), code, asked=False)
        wait = child.plan_restart()
        how = signal.Signals(-code).name if code else "nobody but it was asked to end"
        _log.warning(
            "a worker is gone and will be started again",
            extra={"worker": child.number, "why": how, "after_seconds": wait},
        )


def worker_command(arguments: Sequence[str]) -> Command:
    """How to start a worker: this program, `run` and `arguments`, and its hidden options."""
    # `-m` lets modules be found in the working directory, which the program `millstream` does not.
    here = sys.path[0] in {"", str(Path.cwd())}
    python = (sys.executable,) if here else (sys.executable, "-P")

    def command(number: int, descriptor: int) -> Sequence[str]:
        hidden = ("--worker", str(number), "--line", str(descriptor))
        return (*python, "-m", "millstream", "run", *arguments, *hidden)

    return command
