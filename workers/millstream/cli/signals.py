"""Signal handlers of a worker and of a supervisor."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

_log = logging.getLogger(__name__)


def stop_on_signals(stop: Callable[[], None], at_once: Callable[[], None] | None = None) -> None:
    """Stop on the first signal; end the process, after `at_once`, on the second."""

    def first(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL if at_once is None else second)
        _log.info("stopping", extra={"signal": signal.Signals(number).name})
        stop()

    def second(number: int, _frame: FrameType | None) -> None:
        if at_once is not None:
            at_once()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, first)
    signal.signal(signal.SIGINT, first)
