"""Back-off between small transactions, so that the next one does not wait inside the broker.

A transaction that begins at once after another finds the broker still writing that one's markers
(CONCURRENT_TRANSACTIONS). A request to add a partition to it then waits for 20 ms in librdkafka
(2.16), whatever its settings. Markers take a millisecond or so: a pause of that length costs less
than the few transactions that would wait, and records that arrive meanwhile join the next batch.

The right length depends on the broker and on the load of its machine, so it follows from measured
transactions: half a millisecond longer after each that waited, and a little shorter after each that
did not, so that one in a thousand waits; each of them delays all records that arrive meanwhile.
"""

from typing import Final

FIRST: Final = 0.001
LEAST: Final = 0.000_5
MOST: Final = 0.005
LONGER: Final = 0.000_5
SHORTER: Final = LONGER / 1_000
"""All in seconds."""

WAITED: Final = 0.015
"""Seconds by which a transaction that waited is longer than usual, at least."""
SPREAD: Final = 1.3
"""Factor by which one that did not wait may be longer: with distant brokers, all take long."""
WEIGHT: Final = 0.1
WEIGHT_IF_WAITED: Final = 0.002
"""Weights of one transaction in the moving average."""


class CommitBackoff:
    """Chooses the pause from the measured time of small transactions."""

    def __init__(self) -> None:
        """Begin without measurements."""
        self.seconds = FIRST
        """The pause after the next transaction."""
        self._usual = 0.0

    def took(self, seconds: float) -> None:
        """Account for the duration of a small batch's transaction."""
        waited = seconds > WAITED + SPREAD * self._usual
        weight = WEIGHT_IF_WAITED if waited else WEIGHT
        self._usual += weight * (seconds - self._usual)
        step = LONGER if waited else -SHORTER
        self.seconds = min(MOST, max(LEAST, self.seconds + step))
