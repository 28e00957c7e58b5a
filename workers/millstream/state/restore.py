"""The restore of a partition: the only way in which a processor gets its state.

It happens at start, after a rebalance and after an abort.
"""

import logging
import time

from millstream import _failpoints as failpoints
from millstream.state.ports import Work
from millstream.state.restore_context import RestoreContext
from millstream.state.restore_delayed import DelayedRestore
from millstream.state.restore_inline import InlineRestore
from millstream.state.restore_steps import (
    CommittedOffsets,
    RestoreRequest,
    RestoreResult,
    Skips,
)
from millstream.state.retained_store import RetainedStore

log = logging.getLogger(__name__)


class PartitionRestore:
    """One restore of one partition, in slices; `step` until it returns the result."""

    def __init__(
        self,
        context: RestoreContext,
        partition: int,
        committed: CommittedOffsets,
        committed_owner: int | None,
        new_skips: Skips,
        store: RetainedStore,
    ) -> None:
        """Begin with what the group has committed.

        `committed`: its offsets, None where there are none; `committed_owner`: the owner that they
        name, if any; `new_skips`: records that the last try broke on, with the control records to
        write about them; `store`: what is left of the pending predictions since the last commit.
        """
        # A restore that was abandoned (its partition was revoked) may have left it open.
        context.reader.close()
        self._request = RestoreRequest(
            context, partition, committed, committed_owner, new_skips, store
        )
        recipe = DelayedRestore if context.late else InlineRestore
        self._steps = recipe(self._request).run()
        self._work: Work | None = None
        self._steps_done = 0
        self._began = time.monotonic()
        self._read_before = context.reader.records_read

    def step(self, timeout: float) -> RestoreResult | None:
        """Advance for about `timeout` seconds; returns the result when there is one.

        Raises `Stop` where the state cannot be restored, KafkaException where brokers do not
        answer: then this restore is of no more use, and another one has to begin.
        """
        if self._work is not None and not self._work.done(timeout):
            return None
        try:
            self._work = next(self._steps)
        except StopIteration as end:
            result: RestoreResult = end.value
            self._report(result)
            return result
        self._steps_done += 1
        failpoints.reach("mid_restore")
        return None

    def progress(self) -> object:
        """A value that changes as long as the restore advances."""
        return self._steps_done, self._request.context.reader.records_read

    def all_committed(self) -> bool:
        """Whether the group had an offset for each input."""
        return not self._request.offset_missing()

    def _report(self, result: RestoreResult) -> None:
        context, partition = self._request.context, self._request.partition
        replayed = context.reader.records_read - self._read_before
        seconds = time.monotonic() - self._began
        context.metrics.partitions.observe_restore(partition, replayed, seconds)
        log.info(
            "restored",
            extra={
                "partition": partition,
                "positions": dict(result.positions),
                "learned": result.processor.learned,
                "waiting": result.processor.pending(),
                "waiting_kept": result.store_retained,
                "snapshot": result.snapshot_learned,
                "replayed": replayed,
                "seconds": round(seconds, 3),
            },
        )
