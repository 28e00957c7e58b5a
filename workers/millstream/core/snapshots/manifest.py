"""The manifest of snapshots in the models topic: entries, and the chunks stored there.

A pointer is written once all of its snapshot is stored, so what has no pointer is no snapshot.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
)

from millstream.core.records.record import Output, Record
from millstream.core.snapshots.chunks import assemble, chunks
from millstream.core.snapshots.snapshot import BadSnapshot

CHUNK_BYTES = 500_000
_NAME: Final = "[0-9]{1,16}-[0-9a-f]{8}"
_OURS: Final = re.compile(rb"[0-9]+/snapshot/")
_KEY: Final = re.compile(f"[0-9]+/snapshot/({_NAME})(?:/([0-9]{{1,6}}))?".encode())


def _with_events(positions: dict[str, int]) -> dict[str, int]:
    if "events" not in positions:
        raise ValueError("a snapshot stands for an offset of events")
    return positions


class ManifestEntry(BaseModel):
    """What the models topic says of a snapshot."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["snapshot"] = "snapshot"
    partition: NonNegativeInt
    name: str = Field(pattern=f"^{_NAME}$")
    """When it was taken (ms since 1970), and something that no other has."""
    store: str
    """`topic`: its chunks stand in the models topic; else the URL of the store that holds it."""
    bytes: NonNegativeInt
    chunks: NonNegativeInt
    """How many there are in the topic; for another store, one that announces it."""
    positions: Annotated[dict[str, NonNegativeInt], AfterValidator(_with_events)]
    learned: NonNegativeInt
    digest: str
    model_version: str
    created_at: NonNegativeInt
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


def deletions(partition: int, name: str, chunks: Iterable[int]) -> list[Output]:
    """Records that take a snapshot out of the models topic, the pointer first."""
    keys = [_key(partition, name), *(_key(partition, name, i) for i in chunks)]
    return [Output(key, None, None) for key in keys]


def taken_at(name: str) -> int:
    """When a snapshot was taken, by its name: ms since 1970."""
    return int(name.partition("-")[0])


def is_snapshot(record: Record) -> bool:
    """Whether a record of the models topic is a pointer or a chunk."""
    return _OURS.match(record.key or b"") is not None


def _key(partition: int, name: str, chunk: int | None = None) -> bytes:
    return f"{partition}/snapshot/{name}{'' if chunk is None else f'/{chunk}'}".encode()


def _place(record: Record) -> _Place | None:
    match = _KEY.fullmatch(record.key or b"")
    if match is None:
        return None
    return _Place(match[1].decode(), None if match[2] is None else int(match[2]))


class SnapshotManifest:
    """What one partition of the models topic holds of snapshots."""

    def __init__(self, partition: int) -> None:
        """Snapshots of another partition, which somebody has copied here, are none of this one."""
        self.partition = partition
        self._pointers: dict[str, ManifestEntry] = {}
        self._chunks: dict[str, dict[int, bytes]] = {}
        self.unreadable: dict[str, str] = {}
        """Names of pointers that cannot be read, and why."""

    def add(self, record: Record) -> None:
        """Take in a record for which `is_snapshot` holds."""
        place = _place(record)
        if place is None:
            return  # of a later version: a reader ignores what it does not know
        if place.chunk is not None:
            self._add_chunk(place.name, place.chunk, record.value)
            return
        self._pointers.pop(place.name, None)
        self.unreadable.pop(place.name, None)
        if record.value is not None:
            self._add_pointer(place.name, record.value)

    def _add_pointer(self, name: str, value: bytes) -> None:
        try:
            pointer = ManifestEntry.model_validate(orjson.loads(value))
        except (orjson.JSONDecodeError, ValidationError):
            self.unreadable[name] = "its pointer is damaged, or of a later version"
            return
        if (pointer.partition, pointer.name) == (self.partition, name):
            self._pointers[name] = pointer
        else:
            self.unreadable[name] = "its pointer is that of another snapshot"

    def _add_chunk(self, name: str, index: int, value: bytes | None) -> None:
        there = self._chunks.setdefault(name, {})
        if value is None:
            there.pop(index, None)
        else:
            there[index] = value
        if not there:
            del self._chunks[name]

    def pointers(self) -> list[ManifestEntry]:
        """Every snapshot, the newest first."""
        return list(self._pointers.values())[::-1]

    def blob(self, name: str) -> bytes:
        """The snapshot of this name that the topic itself holds. Raises BadSnapshot."""
        return assemble(self._chunks.get(name, {}).values())

    def orphans(self) -> dict[str, list[int]]:
        """Snapshots without a pointer, with the numbers of their chunks.

        A crash leaves them behind; likewise those whose pointer cannot be read.
        """
        names = self._chunks.keys() | self.unreadable.keys()
        return {
            name: sorted(self._chunks.get(name, ()))
            for name in sorted(names - self._pointers.keys())
        }


__all__ = [
    "BadSnapshot",
    "ManifestEntry",
    "SnapshotManifest",
    "chunk_records",
    "deletions",
    "is_snapshot",
    "taken_at",
]
