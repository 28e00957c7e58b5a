"""A bound on calls that have none."""

import threading
from collections.abc import Callable


def within(seconds: float, call: Callable[[], None]) -> bool:
    """Make a call in a thread of its own; returns whether it came back in time.

    What the call raises is raised here. One that does not come back keeps its thread, which dies
    with the process: Python cannot end it.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again below, by the caller's thread
            raised.append(error)

    thread = threading.Thread(target=run, name="bounded-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    return not thread.is_alive()
