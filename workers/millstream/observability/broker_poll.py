"""A thread that asks the brokers something again and again."""

import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer

from millstream.config.settings import Settings
from millstream.kafka.client_config import reader_config

ANSWER_SECONDS: Final = 3.0
"""How long an answer may take."""


class BrokerPoll:
    """Calls `ask` every few seconds, in a thread and with a client of its own.

    The client is not an admin client: when a broker was frozen for a while, librdkafka 2.16 aborted
    the process over an answer to one ("Assertion `rko_result' failed"). A consumer, unlike the
    others, never makes a topic by asking. It logs nothing, since the other clients do.
    """

    def __init__(
        self, settings: Settings, name: str, seconds: float, ask: Callable[[Consumer], object]
    ) -> None:
        """`name`: of the thread; `seconds`: from an answer to the next question."""
        self._config = {**reader_config(settings), "log_level": 0}
        self._seconds = seconds
        self._ask = ask
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Connect, and ask from now on."""
        self._client = Consumer(self._config)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for the last answer: a client must not outlive Python."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS + self._seconds)

    def _run(self) -> None:
        while not self._ending.wait(self._seconds):
            self._ask(self._client)
        self._client.close()
