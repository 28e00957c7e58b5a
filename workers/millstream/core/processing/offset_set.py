"""A set of offsets as bitmaps: little more than a bit each, instead of a hundred bytes."""

_CHUNK_BITS = 16


class OffsetSet:
    """Offsets of one log, in bitmaps of 65,536 each."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def add(self, offset: int) -> None:
        """Add an offset."""
        chunk = self._chunks.get(offset >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[offset >> _CHUNK_BITS] = bytearray(1 << (_CHUNK_BITS - 3))
        chunk[(offset & 0xFFFF) >> 3] |= 1 << (offset & 7)

    def __contains__(self, offset: int) -> bool:
        """Whether an offset is in the set."""
        chunk = self._chunks.get(offset >> _CHUNK_BITS)
        return chunk is not None and bool(chunk[(offset & 0xFFFF) >> 3] & (1 << (offset & 7)))
