"""Chunks of a snapshot, for a log with a largest message size.

A chunk is one line of JSON (which snapshot, which of how many, SHA-256 of the whole) and its bytes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from millstream.core.snapshots.snapshot import BadSnapshot


@dataclass(frozen=True)
class Chunk:
    """One piece of a snapshot."""

    snapshot: str
    index: int
    count: int
    sha256: str
    """Of the whole."""
    data: bytes

    def to_bytes(self) -> bytes:
        """Write it."""
        head = {
            "snapshot": self.snapshot,
            "index": self.index,
            "count": self.count,
            "sha256": self.sha256,
        }
        return b"%b\n%b" % (orjson.dumps(head), self.data)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Chunk":
        """Read what `to_bytes` wrote. Raises BadSnapshot."""
        line, newline, data = content.partition(b"\n")
        try:
            head = orjson.loads(line)
            if not newline or [type(value) for value in head.values()] != [str, int, int, str]:
                raise BadSnapshot("a chunk of it is damaged")
            return cls(**head, data=data)
        except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
            raise BadSnapshot("a chunk of it is damaged") from error


def chunks(snapshot: str, blob: bytes, size: int) -> list[bytes]:
    """Cut a sealed snapshot into chunks of at most `size` bytes each, beside their first line.

    `snapshot` is its name, which no other snapshot may have.
    """
    sha256 = hashlib.sha256(blob).hexdigest()
    pieces = [blob[start : start + size] for start in range(0, len(blob), size)] or [b""]
    return [
        Chunk(snapshot, index, len(pieces), sha256, piece).to_bytes()
        for index, piece in enumerate(pieces)
    ]


def assemble(contents: Iterable[bytes]) -> bytes:
    """Put the chunks of one snapshot together, in whatever order they come.

    Raises BadSnapshot where one is missing, damaged, there twice, or of another snapshot.
    """
    found = [Chunk.from_bytes(content) for content in contents]
    if not found:
        raise BadSnapshot("it has no chunks")
    whole = {(chunk.snapshot, chunk.count, chunk.sha256) for chunk in found}
    if len(whole) > 1:
        raise BadSnapshot("its chunks are of more than one snapshot")
    count, sha256 = found[0].count, found[0].sha256
    by_index = sorted(found, key=lambda chunk: chunk.index)
    if [chunk.index for chunk in by_index] != list(range(count)):
        raise BadSnapshot(f"it is torn: {len(found)} chunks are there, of {count}")
    blob = b"".join(chunk.data for chunk in by_index)
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise BadSnapshot("a chunk of it is damaged")
    return blob
