"""Snapshots as the models topic has them: pointers, and the chunks of those that it holds itself.

A pointer is written once all of its snapshot is stored, so what has no pointer is no snapshot.
"""

from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from millstream.core.records import Output, Record
from millstream.core.snapshot import BadSnapshot
from millstream.core.snapshot_chunks import assemble, chunks

CHUNK_BYTES = 500_000


class Pointer(BaseModel):
    """What the models topic says of a snapshot."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["snapshot"] = "snapshot"
    partition: int
    name: str
    store: str
    """`topic`: its chunks stand in the models topic; else the URL of the store that holds it."""
    bytes: int
    chunks: int
    """How many there are in the topic; 0 in another store."""
    positions: dict[str, int]
    learned: int
    digest: str
    model_version: str
    created_at: int
    """Milliseconds since 1970."""

    def record(self) -> Output:
        """As it is written."""
        return Output(_key(self.partition, self.name), orjson.dumps(self.model_dump()), None)


class _Place(NamedTuple):
    name: str
    chunk: int | None


def chunk_records(partition: int, name: str, blob: bytes) -> list[Output]:
    """A sealed snapshot as records for the models topic."""
    pieces = chunks(name, blob, CHUNK_BYTES)
    return [Output(_key(partition, name, i), piece, None) for i, piece in enumerate(pieces)]


def deletions(pointer: Pointer) -> list[Output]:
    """Records that take a snapshot out of the models topic, the pointer first."""
    partition, name = pointer.partition, pointer.name
    keys = [_key(partition, name), *(_key(partition, name, i) for i in range(pointer.chunks))]
    return [Output(key, None, None) for key in keys]


def is_snapshot(record: Record) -> bool:
    """Whether a record of the models topic is a pointer or a chunk."""
    return _place(record) is not None


def _key(partition: int, name: str, chunk: int | None = None) -> bytes:
    return f"{partition}/snapshot/{name}{'' if chunk is None else f'/{chunk}'}".encode()


def _place(record: Record) -> _Place | None:
    parts = (record.key or b"").split(b"/")
    if len(parts) < 3 or parts[1] != b"snapshot":
        return None
    return _Place(parts[2].decode("utf-8", "replace"), int(parts[3]) if len(parts) > 3 else None)


class SnapshotLog:
    """What one partition of the models topic holds of snapshots."""

    def __init__(self) -> None:
        self._pointers: dict[str, Pointer] = {}
        self._chunks: dict[str, dict[int, bytes]] = {}

    def add(self, record: Record) -> None:
        """Take in a record for which `is_snapshot` holds."""
        place = _place(record)
        if place is None:
            raise ValueError("is_snapshot says which records are snapshots")
        if place.chunk is not None:
            self._add_chunk(place.name, place.chunk, record.value)
            return
        self._pointers.pop(place.name, None)
        if record.value is not None:
            try:
                pointer = Pointer.model_validate(orjson.loads(record.value))
            except (orjson.JSONDecodeError, ValidationError):
                return  # of a later version, or damaged: no snapshot for this one
            self._pointers[place.name] = pointer

    def _add_chunk(self, name: str, index: int, value: bytes | None) -> None:
        there = self._chunks.setdefault(name, {})
        if value is None:
            there.pop(index, None)
        else:
            there[index] = value
        if not there:
            del self._chunks[name]

    def pointers(self) -> list[Pointer]:
        """Every snapshot, the newest first."""
        return list(self._pointers.values())[::-1]

    def blob(self, name: str) -> bytes:
        """The snapshot of this name that the topic itself holds. Raises BadSnapshot."""
        return assemble(self._chunks.get(name, {}).values())

    def orphans(self) -> dict[str, Any]:
        """Names of chunks without a pointer, with their numbers: what a crash left behind."""
        return {
            name: sorted(there) for name, there in self._chunks.items()
            if name not in self._pointers
        }  # fmt: skip


__all__ = ["BadSnapshot", "Pointer", "SnapshotLog", "chunk_records", "deletions", "is_snapshot"]
