"""The publisher of a worker, and the end of transactions that its producers left open."""

import logging
from collections.abc import Callable, Sequence

from millstream.delivery.hanging_transactions import HangingTransactions
from millstream.delivery.publisher import Aborted, ProducerLost, Publisher

log = logging.getLogger(__name__)


class RebuildablePublisher:
    """The current publisher; a lost one is replaced."""

    def __init__(self, build: Callable[[], Publisher], name: str) -> None:
        """Builds the first publisher; raises KafkaException. `name`: the transactional id."""
        self._build = build
        self.name = name
        self.current = build()

    def rebuild(self) -> None:
        """Replace a publisher whose producer is lost."""
        self.current.close()
        self.current = self._build()

    def close(self) -> None:
        """Close the current publisher; an open transaction is aborted."""
        self.current.close()


class TransactionRepair:
    """Ends this worker's own transactions that no coordinator ends; see `HangingTransactions`."""

    def __init__(self, publisher: RebuildablePublisher, hanging: HangingTransactions) -> None:
        self._publisher = publisher
        self._hanging = hanging

    def in_doubt(self, began: float) -> bool:
        """Whether a commit that began then (monotonic) may have lost its markers."""
        return self._publisher.current.transactional and self._hanging.in_doubt(began)

    def abort_own(self, partition: int) -> None:
        """Before a restore, end this worker's open transaction in the partition.

        Raises KafkaException and `Aborted`.
        """
        if self._publisher.current.transactional:
            self._hanging.abort_own(partition, self._abort_over)

    def unblock_restore(
        self, partition: int, progress: object, committed: Callable[[int], object]
    ) -> bool:
        """End a transaction that holds up a restore; True if other partitions should go first."""
        return self._hanging.unblock_restore(partition, progress, committed, self._abort_over)

    def abort_leftovers(self, partitions: Sequence[int]) -> None:
        """End a transaction whose markers a broker may have dropped."""
        try:
            self._abort_over(partitions)
        except Aborted as failed:  # the restore that follows tries again, where it is held up
            log.warning("a transaction may be left open", extra={"reason": str(failed)})

    def _abort_over(self, partitions: Sequence[int]) -> None:
        """Abort a transaction over these partitions, and what is open in them; raises `Aborted`."""
        try:
            self._hanging.abort_over(self._publisher.current, partitions)
        except ProducerLost:
            self._publisher.rebuild()
            raise
