"""Time-outs for client calls that accept none."""

import threading
from collections.abc import Callable


class CallWithTimeout:
    """A call in a thread of its own, which starts at once.

    Python cannot end a thread: one whose call never returns lives until the process ends.
    Its log lines carry the name of the thread that made it.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        """Start the call."""
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
        """Wait at most `seconds` (None: for ever) for its end; False if it still runs.

        Raises what the call raised.
        """
        self._thread.join(seconds)
        if self._raised:
            raise self._raised[0]
        return not self._thread.is_alive()


def call_with_timeout(seconds: float | None, call: Callable[[], None]) -> bool:
    """Make a call and wait at most `seconds` (None: for ever); False if it still runs.

    Raises what the call raised.
    """
    return CallWithTimeout(call).returned(seconds)
