"""How long to leave the brokers alone after a small transaction, before the next one begins.

A transaction that follows on the heels of another finds the broker still writing that one's markers
(CONCURRENT_TRANSACTIONS). Whoever asks for a partition to write to then waits for 20 ms in
librdkafka (2.16), whatever it is told. Markers take a millisecond or so: a rest of that length
costs less than the few transactions that would wait, and what comes meanwhile is in the next batch.

How long depends on the broker and on what else its machine does, so the rest follows from what
transactions took: half a millisecond longer after each that waited, and a little shorter after each
that did not, so that one of a thousand does: each that waits holds
up all that comes meanwhile.
"""

from typing import Final

FIRST: Final = 0.001
LEAST: Final = 0.000_5
MOST: Final = 0.005
LONGER: Final = 0.000_5
SHORTER: Final = LONGER / 1_000
"""All in seconds."""

WAITED: Final = 0.015
"""Seconds by which a transaction that waited is longer than usual, at the least."""
SPREAD: Final = 1.3
"""By how much one that did not may be longer: where brokers are far away, all of them take long."""
WEIGHT: Final = 0.1
WEIGHT_OF_ONE_THAT_WAITED: Final = 0.002
"""Of a transaction in what is usual."""


class CommitBackoff:
    """Takes in what small transactions took, and says how long the rest is."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.seconds = FIRST
        """How long to rest after the next one."""
        self._usual = 0.0

    def took(self, seconds: float) -> None:
        """Learn what the transaction of a small batch took."""
        waited = seconds > WAITED + SPREAD * self._usual
        weight = WEIGHT_OF_ONE_THAT_WAITED if waited else WEIGHT
        self._usual += weight * (seconds - self._usual)
        step = LONGER if waited else -SHORTER
        self.seconds = min(MOST, max(LEAST, self.seconds + step))
