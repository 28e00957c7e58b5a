"""Crash markers: written before records are processed, so that a record that kills is found.

A marker stands in the models topic while records are processed, and is cleared afterwards. If one
is found, its process died in between: by these records, or by chance. The worker then continues
with care and names each record before it processes it; a record that is named in marker after
marker of dead processes is the one that kills.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from millstream.core.records.outputs import encode, skip_note
from millstream.core.records.record import Output
from millstream.errors import DeadLetter


class RecordRef(NamedTuple):
    """A record as a skip names it."""

    side: str
    """`events`, `labels`, or `examples`: then `offset` is that of the example's event."""
    offset: int


class CrashMarker(BaseModel):
    """One try at the records of a partition."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    partition: int
    incarnation: str
    """Which process tries."""
    crashes: int = 0
    """Consecutive crashes at this record, this process included; 0 once it succeeded."""
    side: str | None = None
    """With `offset`, the record; None: any of those below `ends`."""
    offset: int | None = None
    ends: dict[str, int] = {}
    """Per input, the offset after the last record available."""

    @property
    def place(self) -> RecordRef | None:
        """The record, if it names one."""
        if self.side is None or self.offset is None:
            return None
        return RecordRef(self.side, self.offset)

    def at(self, place: RecordRef, incarnation: str, ends: Mapping[str, int]) -> "CrashMarker":
        """The next try, after this one was found: at a record, by another process."""
        before = self.crashes if place == self.place else 0
        return CrashMarker(
            partition=self.partition,
            incarnation=incarnation,
            crashes=before + 1,
            side=place.side,
            offset=place.offset,
            ends=dict(ends),
        )

    def survived(self) -> Self:
        """The same, taken back."""
        return self.model_copy(update={"crashes": 0})

    def note(self) -> Output:
        """As it is written: one of each partition stands, the last."""
        document = {"kind": "attempt", **self.model_dump(exclude_none=True)}
        return Output(f"{self.partition}/attempt".encode(), encode(document), None)

    def quarantine(self) -> dict[tuple[str, int], tuple[DeadLetter, Output | None]]:
        """The record as one that is left out, with the note that says so to every replay."""
        if self.side is None or self.offset is None:
            raise ValueError("an attempt that names no record blames none")
        bad = DeadLetter("quarantined", f"{self.crashes} crashes over {self.side} {self.offset}")
        note = skip_note(self.partition, self.offset, bad, self.side)
        return {(self.side, self.offset): (bad, note)}
