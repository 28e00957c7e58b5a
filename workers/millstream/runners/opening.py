"""Which request opens a small batch's transaction: the way that was faster lately.

A transaction that follows on the heels of another finds the broker still ending that one, which
refuses whatever would open the next (CONCURRENT_TRANSACTIONS). librdkafka (2.16) asks again after
20 ms where the request was one for partitions to write to, whatever it is told, and after
`retry.backoff.ms` where it was one for offsets. So it may be worth while to send the offsets first,
and to produce afterwards; but then the two are not under way together, which costs two round trips.
"""

from typing import Final

WEIGHT: Final = 0.1
"""Of the last transaction in what is known of a way."""
WEIGHT_OF_A_TRIAL: Final = 0.5
"""The same, of the way that is tried now and then: there are few of them."""
FEWEST: Final = 8
MOST: Final = 256
"""Transactions between two trials; ever more while these show nothing new."""


class Opening:
    """Times both ways, and says which is next."""

    def __init__(self) -> None:
        """Outputs go first."""
        self.offsets_first = False
        """What to do for the next small batch."""
        self._seconds = {False: 0.0, True: 0.0}
        """What a transaction took, by `offsets_first`; 0: not known."""
        self._between = FEWEST
        self._left = FEWEST
        self._trial = False

    def took(self, seconds: float) -> None:
        """Learn what the transaction of a small batch took."""
        way = self.offsets_first
        known = self._seconds[way]
        weight = WEIGHT_OF_A_TRIAL if self._trial else WEIGHT
        self._seconds[way] = known + weight * (seconds - known) if known else seconds
        best = self._seconds[True] < self._seconds[False]
        before = way is not self._trial
        if best is not before:
            self._between = self._left = FEWEST
        elif self._trial:
            self._between = self._left = min(MOST, 2 * self._between)
        else:
            self._left -= 1
        self._trial = self._left == 0
        self.offsets_first = best is not self._trial
