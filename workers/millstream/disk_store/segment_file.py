"""An unnamed file of records, appended and read at random, whose segments are reused.

The file is gone with the process, however it ends: there is nothing to clean up, and nothing
half-written that anyone could read.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct

from millstream.errors import Stop

SEGMENT = 16 * 2**20
"""Bytes that are reused together; no record is larger."""
BUFFER = 256 * 2**10
"""Bytes that are written at once."""
GUESS = 768
"""Bytes read at once for a record, before its length is known."""
AHEAD = 16 * 2**10
"""The same where records are read in the order of writing, as labels mostly come."""
_LENGTH = Struct("<I")
LENGTH = _LENGTH.size


class SegmentFile:
    """The file, and how much of each segment is live; a record's position is its offset."""

    def __init__(self, folder: Path | None) -> None:
        """In an existing folder (None: the system's temporary one); raises Stop if not writable."""
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close`
        except OSError as error:
            raise self._stop(error) from error
        self._number = self._file.fileno()
        self._active = 0
        self._room = SEGMENT
        """Bytes left in the active segment."""
        self._used = [SEGMENT]
        """Bytes written of each segment, 0 of a free one; `SEGMENT` of the active one."""
        self._live = [0]
        """Live bytes of each segment."""
        self._free: list[int] = []
        self._tail = bytearray()
        self._tail_at = 0
        self._block = b""
        """Bytes read last, from `_block_at` on; none of them has been written since."""
        self._block_at = 0

    def append(self, records: Iterable[bytes]) -> list[int]:
        """Write records; returns their positions. Raises Stop where the disk is full."""
        positions, tail, pack = [], self._tail, _LENGTH.pack
        for record in records:
            size = len(record)
            if size + LENGTH > self._room:
                self._begin_segment(size)
                tail = self._tail
            positions.append(self._tail_at + len(tail))
            tail += pack(size)
            tail += record
            self._room -= size + LENGTH
            self._live[self._active] += size
            if len(tail) >= BUFFER:
                self._flush()
                tail = self._tail
        return positions

    def read(self, position: int) -> bytes:
        """The record at a position."""
        start = position - self._tail_at
        if 0 <= start < len(self._tail):
            begin = start + LENGTH
            return bytes(self._tail[begin : begin + _LENGTH.unpack_from(self._tail, start)[0]])
        block, at = self._block, position - self._block_at
        if 0 <= at <= len(block) - LENGTH:
            end = at + LENGTH + _LENGTH.unpack_from(block, at)[0]
            if end <= len(block):
                return block[at + LENGTH : end]
        return self._fetch(position, AHEAD if 0 <= at < 2 * AHEAD else GUESS)

    def _fetch(self, position: int, at_once: int) -> bytes:
        chunk = os.pread(self._number, at_once, position)
        size = _LENGTH.unpack_from(chunk)[0] + LENGTH
        if size > len(chunk):
            chunk = os.pread(self._number, size, position)
        self._block, self._block_at = chunk, position
        return chunk[LENGTH:size]

    def count(self, position: int, size: int) -> None:
        """Count `size` bytes of a record as live, or (negative) as dead.

        Dead bytes stay in the file until `free_empty`.
        """
        self._live[position // SEGMENT] += size

    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self._used) * SEGMENT

    def free_empty(self) -> None:
        """Free the segments without live records."""
        for number, live in enumerate(self._live):
            if live == 0 and self._used[number] and number != self._active:
                self._used[number] = 0
                self._free.append(number)

    def sparsest(self) -> int | None:
        """The segment with the fewest live bytes; None while more than half of the file is live."""
        in_use = len(self._used) - len(self._free)
        if in_use < 4 or in_use * SEGMENT < 2 * sum(self._live):
            return None
        return min(
            (number for number, used in enumerate(self._used) if used and number != self._active),
            key=self._live.__getitem__,
            default=None,
        )

    def records(self, segment: int) -> Iterator[tuple[int, bytes]]:
        """Positions and records of a segment, dead ones included."""
        start = segment * SEGMENT
        data = os.pread(self._number, self._used[segment], start)
        at = 0
        while at < len(data):
            size = _LENGTH.unpack_from(data, at)[0]
            yield start + at, data[at + LENGTH : at + LENGTH + size]
            at += LENGTH + size

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _begin_segment(self, size: int) -> None:
        """Continue in another segment with a record of `size` bytes; raises Stop if too large."""
        if size + LENGTH > SEGMENT:
            raise Stop(
                f"a prediction that waits has {size:,} bytes, and on disk may have "
                f"{SEGMENT:,}: set waiting.store to memory"
            )
        self._flush()
        self._used[self._active] = SEGMENT - self._room
        if self._free:
            self._active = self._free.pop()
        else:
            self._active = len(self._used)
            self._used.append(0)
            self._live.append(0)
        self._used[self._active] = self._room = SEGMENT
        self._tail_at = self._active * SEGMENT

    def _flush(self) -> None:
        view = memoryview(self._tail)
        try:
            while view:
                written = os.pwrite(self._number, view, self._tail_at)
                self._tail_at += written
                view = view[written:]
        except OSError as error:
            raise self._stop(error) from error
        self._tail = bytearray()
        self._block = b""

    def _stop(self, error: OSError) -> Stop:
        folder = self._folder or tempfile.gettempdir()
        return Stop(
            f"predictions that wait cannot be kept in {folder}: {error.strerror}; make room there, "
            "or name another folder with waiting.directory"
        )
