"""What workers in threads of this process have logged: how they tell what state they left."""

import logging
import threading
from typing import Any

_LOGGER = logging.getLogger("millstream")


class Logbook(logging.Handler):
    """Keeps what threads of certain names log, until it is closed."""

    _lock_of_level = threading.Lock()
    _open = 0
    _level_before = logging.NOTSET

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._threads: set[str] = set()
        self._records: list[logging.LogRecord] = []
        with self._lock_of_level:
            if not Logbook._open:
                Logbook._level_before = _LOGGER.level
                _LOGGER.setLevel(logging.INFO)
            Logbook._open += 1
        _LOGGER.addHandler(self)

    def follow(self, thread: str) -> None:
        """Keep what a thread of this name logs from now on."""
        self._threads.add(thread)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if record.threadName in self._threads:
            self._records.append(record)

    def close(self) -> None:
        """Keep nothing more."""
        _LOGGER.removeHandler(self)
        with self._lock_of_level:
            Logbook._open -= 1
            if not Logbook._open:
                _LOGGER.setLevel(Logbook._level_before)
        super().close()

    def last(self, sentence: str) -> dict[int, dict[str, Any]]:
        """By partition: the fields that came last with this sentence."""
        return {
            vars(record)["partition"]: vars(record)
            for record in self._records
            if record.msg == sentence
        }
