"""The entry point of `millstream`: handles signals before the slow imports."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Import the commands, which takes seconds, and run one.

    A signal meanwhile ends the process at once and quietly, since nothing is open yet: with 0 where
    it is the worker, which a signal ends cleanly, else as a shell reports a signal (130, 143).
    """
    worker = sys.argv[1:2] == ["run"]

    def end_at_once(number: int, _frame: FrameType | None) -> None:
        # No exception: inside of an import it may end in a traceback, or be lost.
        os._exit(0 if worker else 128 + number)

    signal.signal(signal.SIGINT, end_at_once)
    signal.signal(signal.SIGTERM, end_at_once)
    from millstream import cli  # noqa: PLC0415 - this is what takes seconds

    if not worker:  # `run` goes over to handlers of its own, before it opens anything
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _end)
    cli.main()


def _end(number: int, _frame: FrameType | None) -> None:
    from millstream.errors import Terminated  # noqa: PLC0415 - `cli` has imported it by now

    raise Terminated(128 + number)


if __name__ == "__main__":
    main()
