"""A bound on calls that have none."""

import threading
from collections.abc import Callable


class CallWithTimeout:
    """A call in a thread of its own.

    One that does not come back keeps its thread, which dies with the process: Python cannot end it.
    What it logs carries the name of the thread that made it.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        """Make it."""
        self._call = call
        self._raised: list[BaseException] = []
        name = threading.current_thread().name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised again, by the caller's thread
            self._raised.append(error)

    def returned(self, seconds: float | None) -> bool:
        """Wait for it, at most for so long; raises what it raised."""
        self._thread.join(seconds)
        if self._raised:
            raise self._raised[0]
        return not self._thread.is_alive()


def within(seconds: float | None, call: Callable[[], None]) -> bool:
    """Make a call; returns whether it came back in time. What it raises is raised here."""
    return CallWithTimeout(call).returned(seconds)
