"""Detection of records that kill the process, by crash markers (`core.records.crash_markers`).

In normal operation one marker is written, for the first moments after a restore: a record that
kills comes again right then. It is withdrawn as soon as the records are processed, before their
commit, so that only processing counts: not a worker killed while it waits, not an outage, not a
rebalance, not an orderly stop. If a marker was not withdrawn, the records are processed one by one,
each with its own marker.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.crash_markers import CrashMarker, RecordRef
from millstream.core.records.record import InputName
from millstream.kafka.producer import ConfirmedWriter, NotWritten
from millstream.state.partition import Partition
from millstream.state.restore_steps import Skips

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 2.0
"""How long after a restore a marker stands while records are processed."""
CAREFUL_SECONDS: Final = 5.0
"""How long at least each record has its marker: an expiry by the clock has no offset to pass."""


def _plain(offsets: Mapping[InputName, int]) -> dict[str, int]:
    """Offsets by input, as in a marker."""
    return {name: offset for name, offset in offsets.items()}  # noqa: C416 - to str


@dataclass(slots=True)
class _Watch:
    """One restored processor, until it has survived its first records."""

    partition: Partition
    processor: PartitionProcessor
    until: float
    suspect: CrashMarker | None
    """The marker that the crashed process left."""
    standing: CrashMarker | None = None
    """The marker that stands now."""
    mute: bool = False
    """A marker could not be written: none is tried for the rest of this batch."""

    def is_past(self) -> bool:
        """Whether the suspected records are processed, and the time is over."""
        ends = {} if self.suspect is None else self.suspect.ends
        positions = _plain(self.partition.positions)
        passed = all(positions.get(name, end) >= end for name, end in ends.items())
        return passed and time.monotonic() >= self.until


class PoisonRecordDetector:
    """Writes and withdraws crash markers around the processing of records."""

    def __init__(
        self,
        max_crashes: int | None,
        markers: ConfirmedWriter,
        restart: Callable[[Partition, Skips], None],
    ) -> None:
        """`restart`: restores a partition without some records."""
        self._max_crashes = max_crashes
        self._markers = markers
        self._restart = restart
        self._incarnation = token_hex(8)
        self._watches: dict[int, _Watch] = {}
        self._seen: dict[int, PartitionProcessor] = {}

    def before_work(self, partitions: Collection[Partition]) -> bool:
        """Watch restored processors; True if records have to be processed one by one."""
        if self._max_crashes is None:
            return False
        current = {partition.number: partition.processor for partition in partitions}
        for number in [*self._seen]:
            if current.get(number) is not self._seen[number]:  # released, or to be restored
                del self._seen[number]
                self._watches.pop(number, None)
        for partition in partitions:
            processor = partition.processor
            if processor is not None and self._seen.get(partition.number) is not processor:
                self._begin(partition, processor, self._max_crashes)
        return any(watch.suspect for watch in self._watches.values())

    def worked(self, partition: Partition) -> None:
        """Withdraw the marker of a partition: later crashes are not due to its records."""
        watch = self._watches.get(partition.number)
        if watch is not None and watch.suspect is not None:
            self._withdraw(watch)

    def after_work(self) -> None:
        """Withdraw all markers after a batch: its records have not killed the process."""
        for number, watch in list(self._watches.items()):
            self._withdraw(watch)
            watch.mute = False
            if watch.partition.processor is not watch.processor or watch.is_past():
                watch.processor.before = None
                del self._watches[number]

    def _begin(self, partition: Partition, processor: PartitionProcessor, most: int) -> None:
        found = partition.origin.crash_marker
        # A marker of this process was survived, even if that could not be written.
        suspect = None if found is None or found.incarnation == self._incarnation else found
        if suspect is not None and suspect.crashes >= most and self._is_pending(partition, suspect):
            log.error(
                "a record has killed the worker again and again: it goes to dead letters",
                extra={"partition": partition.number, "side": suspect.side,
                       "offset": suspect.offset, "crashes": suspect.crashes},
            )  # fmt: skip
            self._restart(partition, suspect.quarantine())
            return
        if suspect is not None:
            log.warning(
                "the worker died over this partition: its records are worked off one by one now",
                extra={"partition": partition.number, "side": suspect.side,
                       "offset": suspect.offset, "crashes": suspect.crashes},
            )  # fmt: skip
        seconds = FIRST_SECONDS if suspect is None else CAREFUL_SECONDS
        watch = _Watch(partition, processor, time.monotonic() + seconds, suspect)
        self._seen[partition.number] = processor
        self._watches[partition.number] = watch
        processor.before = lambda name, offset: self._mark(watch, RecordRef(name, offset))

    def _is_pending(self, partition: Partition, suspect: CrashMarker) -> bool:
        """Whether the suspected record is neither skipped nor processed yet."""
        record = suspect.place
        if record is None or record in partition.skips:
            return False
        positions = _plain(partition.positions)
        return record.offset >= positions.get(record.side, 0)

    def _mark(self, watch: _Watch, record: RecordRef) -> None:
        """Write a marker before the processor touches a record."""
        if watch.mute:
            return
        ends = _plain(watch.partition.fetched)
        if watch.suspect is not None:
            watch.standing = watch.suspect.at(record, self._incarnation, ends)
        elif watch.standing is None:
            watch.standing = CrashMarker(
                partition=watch.partition.number, incarnation=self._incarnation,
                crashes=1, ends=ends,
            )  # fmt: skip
        else:
            return
        self._write(watch, watch.standing)

    def _withdraw(self, watch: _Watch) -> None:
        if watch.standing is not None:
            self._write(watch, watch.standing.survived())
            watch.standing = None

    def _write(self, watch: _Watch, marker: CrashMarker) -> None:
        try:
            self._markers.write(marker.partition, [marker.note()])
        except NotWritten as error:
            # Without it, a crash is not counted; the batch itself waits for the broker.
            watch.mute = True
            log.warning("a note of what is worked on was not written: %s", error)
