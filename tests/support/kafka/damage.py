"""What can happen to a snapshot in the models topic: damage, loss, and forgery."""

from collections.abc import Callable
from typing import Any

from millstream.core.snapshots.chunks import Chunk, chunks
from millstream.core.snapshots.snapshot import seal, unseal
from tests.support.kafka.app import App

ManifestEntry = dict[str, Any]
"""As `App.snapshots` gives it."""


def chunk_of(app: App, pointer: ManifestEntry) -> tuple[bytes, Chunk]:
    """The one chunk of a small snapshot, and its key."""
    key = f"{pointer['partition']}/snapshot/{pointer['name']}/0".encode()
    values = [m.value for m in app.kafka.read(app.topic("models")) if m.key == key]
    return key, Chunk.from_bytes(values[-1] or b"")


def put(app: App, key: bytes, value: bytes | None, partition: int = 0) -> None:
    """Write a record into the models topic, or (None) delete one."""
    app.kafka.produce(app.topic("models"), [(key.decode(), value, None, None, partition)])


def replaced(app: App, pointer: ManifestEntry, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of a snapshot, as chunks that are in order by themselves."""
    key, chunk = chunk_of(app, pointer)
    (value,) = chunks(chunk.snapshot, change(chunk.data), 10**6)
    put(app, key, value, pointer["partition"])


def flipped(app: App, pointer: ManifestEntry) -> None:
    """One bit is another."""
    key, chunk = chunk_of(app, pointer)
    damaged = bytearray(chunk.to_bytes())
    damaged[-40] ^= 1
    put(app, key, bytes(damaged), pointer["partition"])


def cut(app: App, pointer: ManifestEntry) -> None:
    """Its last bytes are missing."""
    replaced(app, pointer, lambda blob: blob[:-10])


def other_format(app: App, pointer: ManifestEntry) -> None:
    """A format that is not known yet."""
    replaced(app, pointer, lambda blob: blob.replace(b"snapshot 1\n", b"snapshot 2\n", 1))


def torn(app: App, pointer: ManifestEntry) -> None:
    """A chunk is missing."""
    put(app, chunk_of(app, pointer)[0], None, pointer["partition"])


def forged(app: App, pointer: ManifestEntry, key: bytes | None) -> None:
    """Other weights, those of another snapshot, in order in every way; signed with `key`, if any.

    The app has to have two snapshots of the partition.
    """
    other = next(
        each
        for each in app.snapshots()
        if each["partition"] == pointer["partition"] and each["learned"] != pointer["learned"]
    )
    weights = unseal(chunk_of(app, other)[1].data)
    replaced(
        app, pointer, lambda blob: seal(unseal(blob).about, weights.proof, weights.payload, key)
    )
