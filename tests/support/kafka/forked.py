"""Workers that are forked from a process that has imported what they are made of.

What they import takes seconds of a processor, hundreds of tests start one, and with that alone a
run of all tests would be busy for a third of its time. What such a worker does is the same from its
first own line on. Nothing else is imported up here: the process imports this file, too.
"""

import atexit
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PRELOADED: Final = ("millstream.cli.worker_process", "river.linear_model", "river.preprocessing")


class Forked:
    """What the tests need of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self._process = context.Process(
            target=_work, args=(arguments, dict(env), str(log), str(Path.cwd())), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number; of its group as well, as with `start_new_session`."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: negative for a signal, None where it has not."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("millstream run", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _work(arguments: list[str], env: dict[str, str], log: str, folder: str) -> None:
    """Become what `python -m millstream` of this environment would be."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor, stands_for in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(descriptor, stands_for)
    faulthandler.enable(2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    found = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [path for path in found if path not in sys.path]
    sys.argv = ["millstream", *arguments]
    from millstream.__main__ import main  # noqa: PLC0415 - see above

    try:
        main()
    except SystemExit as ended:
        code = ended.code
        # Here, where all that the program holds is still held, as at a program's own exit.
        _exit(code if isinstance(code, int) else int(code is not None))
    _exit(0)


def _exit(code: int) -> None:
    """End as a program does: its threads, its exit functions, its streams, and nothing more."""
    threading._shutdown()  # type: ignore[attr-defined] # what an interpreter calls
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
