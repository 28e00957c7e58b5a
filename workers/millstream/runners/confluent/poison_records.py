"""Finds records that kill the process, and lets them be left out.

See `core.attempts` for the notes. In normal running there is one, for the first moments after a
restore: a record that kills comes again right then. It is taken back as soon as the records are
worked off, before their commit, so that nothing but the work on them counts: not a worker killed
while it waits, not a broker that is away, not a group in unrest, not a worker that stops in good
order. Where a note was not taken back, records are worked off one by one, each with its note.
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
"""How long after a restore a note stands while records are worked off."""
CAREFUL_SECONDS: Final = 5.0
"""How long at least each record has its note: what expires by the clock has no offset to pass."""


def _plain(offsets: Mapping[InputName, int]) -> dict[str, int]:
    """Offsets per side, as a note has them."""
    return {side: offset for side, offset in offsets.items()}  # noqa: C416 - to str


@dataclass(slots=True)
class _Watch:
    """One restored shard, until it has shown that it lives."""

    partition: Partition
    processor: PartitionProcessor
    until: float
    suspect: CrashMarker | None
    """What the process before had begun when it died."""
    standing: CrashMarker | None = None
    """The note that stands now."""
    mute: bool = False
    """No note could be written: none is tried for the rest of this batch."""

    def is_past(self) -> bool:
        """Whether there is nothing left to be careful of."""
        ends = {} if self.suspect is None else self.suspect.ends
        positions = _plain(self.partition.positions)
        passed = all(positions.get(side, end) >= end for side, end in ends.items())
        return passed and time.monotonic() >= self.until


class PoisonRecordDetector:
    """What the loop calls before and after it works off records."""

    def __init__(
        self,
        max_crashes: int | None,
        notes: ConfirmedWriter,
        restart: Callable[[Partition, Skips], None],
    ) -> None:
        """`restart`: restores a partition without some records."""
        self._max_crashes = max_crashes
        self._notes = notes
        self._restart = restart
        self._incarnation = token_hex(8)
        self._watches: dict[int, _Watch] = {}
        self._seen: dict[int, PartitionProcessor] = {}

    def before_work(self, partitions: Collection[Partition]) -> bool:
        """Look at shards that were restored; returns whether records have to come one by one."""
        if self._max_crashes is None:
            return False
        there = {partition.number: partition.processor for partition in partitions}
        for number in [*self._seen]:
            if there.get(number) is not self._seen[number]:  # given away, or to be restored
                del self._seen[number]
                self._watches.pop(number, None)
        for partition in partitions:
            processor = partition.processor
            if processor is not None and self._seen.get(partition.number) is not processor:
                self._begin(partition, processor, self._max_crashes)
        return any(watch.suspect for watch in self._watches.values())

    def worked(self, partition: Partition) -> None:
        """A partition's records did not kill: what others do next must not be put down to them."""
        watch = self._watches.get(partition.number)
        if watch is not None and watch.suspect is not None:
            self._take_back(watch)

    def after_work(self) -> None:
        """The process lives, so nothing that it worked on has killed it."""
        for number, watch in list(self._watches.items()):
            self._take_back(watch)
            watch.mute = False
            if watch.partition.processor is not watch.processor or watch.is_past():
                watch.processor.before = None
                del self._watches[number]

    def close(self) -> None:
        """Let go of the broker."""
        self._notes.close()

    def _begin(self, partition: Partition, processor: PartitionProcessor, most: int) -> None:
        found = partition.origin.crash_marker
        # One of our own was survived, whether or not that could be written.
        suspect = None if found is None or found.incarnation == self._incarnation else found
        if suspect is not None and suspect.crashes >= most and self._is_to_come(partition, suspect):
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
        processor.before = lambda side, offset: self._tell(watch, RecordRef(side, offset))

    def _is_to_come(self, partition: Partition, suspect: CrashMarker) -> bool:
        """Whether it is not left out yet, and not worked off either."""
        place = suspect.place
        if place is None or place in partition.skips:
            return False
        positions = _plain(partition.positions)
        return place.offset >= positions.get(place.side, 0)

    def _tell(self, watch: _Watch, place: RecordRef) -> None:
        """Before the shard touches a record."""
        if watch.mute:
            return
        ends = _plain(watch.partition.fetched)
        if watch.suspect is not None:
            watch.standing = watch.suspect.at(place, self._incarnation, ends)
        elif watch.standing is None:
            watch.standing = CrashMarker(
                partition=watch.partition.number, incarnation=self._incarnation,
                crashes=1, ends=ends,
            )  # fmt: skip
        else:
            return
        self._write(watch, watch.standing)

    def _take_back(self, watch: _Watch) -> None:
        if watch.standing is not None:
            self._write(watch, watch.standing.survived())
            watch.standing = None

    def _write(self, watch: _Watch, attempt: CrashMarker) -> None:
        try:
            self._notes.write(attempt.partition, [attempt.note()])
        except NotWritten as error:
            # Without it, a crash is not counted; the batch itself waits for the broker.
            watch.mute = True
            log.warning("a note of what is worked on was not written: %s", error)
