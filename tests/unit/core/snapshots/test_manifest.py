"""Pointers and chunks as they stand in one partition of the models topic."""

from typing import Any

import orjson
import pytest

from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import Output, Record
from millstream.core.snapshots.manifest import (
    CHUNK_BYTES,
    ManifestEntry,
    SnapshotManifest,
    chunk_records,
    deletions,
    is_snapshot,
)
from millstream.core.snapshots.snapshot import BadSnapshot

NAME = "1767225600000-0123abcd"
OTHER = "1767225600001-0123abcd"


def pointer(name: str = NAME, **fields: Any) -> ManifestEntry:
    whole: dict[str, Any] = {
        "partition": 0, "name": name, "store": "topic", "bytes": 3, "chunks": 1,
        "positions": {"events": 4}, "learned": 4, "digest": "d", "model_version": "v",
        "created_at": 1,
    }  # fmt: skip
    return ManifestEntry(**(whole | fields))


def log(*outputs: Output) -> SnapshotManifest:
    made = SnapshotManifest(0)
    for offset, output in enumerate(outputs):
        record = Record(offset, 0, output.key, output.value, None)
        assert is_snapshot(record)
        made.add(record)
    return made


def test_the_newest_pointer_is_the_one_that_was_written_last() -> None:
    made = log(pointer(OTHER).record(), pointer().record(), pointer(OTHER).record())
    assert [each.name for each in made.pointers()] == [OTHER, NAME]


def test_a_snapshot_larger_than_a_message_comes_together_again() -> None:
    blob = bytes(range(256)) * (CHUNK_BYTES // 100)
    made = log(*chunk_records(0, NAME, blob), pointer().record())
    assert made.blob(NAME) == blob
    with pytest.raises(BadSnapshot, match="no chunks"):
        made.blob(OTHER)


def test_chunks_without_a_pointer_are_orphans_and_deletions_take_them_away() -> None:
    chunks = chunk_records(0, NAME, b"x" * (2 * CHUNK_BYTES))
    made = log(*chunks[1:], *chunk_records(0, OTHER, b"y"), pointer(OTHER).record())
    assert made.orphans() == {NAME: [1]}
    made = log(*chunks, *deletions(0, NAME, [0, 1]))
    assert (made.orphans(), made.pointers()) == ({}, [])


@pytest.mark.parametrize(
    "value",
    [b"junk", b"[]", b"{}", b"\xff", orjson.dumps(pointer(OTHER).model_dump()),
     orjson.dumps(pointer().model_dump() | {"partition": 1}),
     orjson.dumps(pointer().model_dump() | {"positions": "?"}),
     orjson.dumps(pointer().model_dump() | {"name": "../../etc/passwd"})],
)  # fmt: skip
def test_a_pointer_that_cannot_be_read_or_is_anothers_is_known_and_an_orphan(value: bytes) -> None:
    key = pointer().record().key
    made = log(pointer().record(), *chunk_records(0, NAME, b"x"), Output(key, value, None))
    assert made.pointers() == []
    assert set(made.unreadable) == {NAME}
    assert made.orphans() == {NAME: [0]}
    made.add(Record(9, 0, key, None, None))
    assert made.unreadable == {}


@pytest.mark.parametrize("key", [b"0/snapshot/x", b"0/snapshot/" + NAME.encode() + b"/999999999"])
def test_a_key_of_a_later_version_is_ignored_and_no_note(key: bytes) -> None:
    made = log(Output(key, b"?", None))
    assert (made.pointers(), made.orphans()) == ([], {})
    PartitionMetadata().add(Record(0, 0, key, b"?", None))
