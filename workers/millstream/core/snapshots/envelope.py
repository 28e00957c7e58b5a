"""The envelope of a snapshot: its metadata and bytes, signed and verified.

Layout, each line ending in a newline:

    millstream snapshot 1
    {"about": ..., "proof": ..., "size": bytes of the payload, "sha256": of the payload}
    HMAC-SHA256 of the two lines above, or - where no key is configured
    SHA-256 of the three lines above
    the payload: what `Captured.to_bytes` gave
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from millstream.core.models.state_codec import StateForm
from millstream.errors import MillstreamError

FORMAT: Final = 1
_MAGIC: Final = b"millstream snapshot "
_UNSIGNED: Final = b"-"


class BadSnapshot(MillstreamError):
    """A snapshot that must not be used; the message is one sentence that says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SnapshotMetadata(_Part):
    """What the worker knows when it takes a snapshot."""

    app: str
    partition: int
    positions: dict[str, int]
    """Side (events, labels) to the committed offset that the snapshot stands for."""
    logs: dict[str, int]
    """Log to the offset from which a restore has to read it."""
    topic_ids: dict[str, str]
    """Topic to its id: one that was deleted and made again has another."""
    learned: int
    """How many examples the model has learned."""
    model_version: str
    """`definition_digest` of the settings."""
    model: str
    """The definition itself, for people to read."""
    versions: dict[str, str]
    """Library to its version; python, river, scikit-learn and numpy are compared on reading."""
    created_at: int
    """Milliseconds since 1970."""
    marks: list[Annotated[list[int], Field(min_length=5, max_length=7)]] = []
    """Late labels: see `core.marks`."""
    claims: dict[str, int] = {}
    """Late labels, at least once: owner to the owner before, see `OwnershipHistory`."""


class Canary(_Part):
    """A question and the answer that must come out again, both as `plain_to_json` writes them."""

    features: Any
    answer: Any


class Verification(_Part):
    """What has to come out again when the payload is read."""

    codec: StateForm
    portable: bool
    """Means the same under other versions of the libraries."""
    digest: str
    """`Learner.digest`, before the probe."""
    probe: Canary | None


class _Head(_Part):
    about: SnapshotMetadata
    proof: Verification
    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """An unsealed snapshot; its bytes are what was written, no more is known yet."""

    about: SnapshotMetadata
    proof: Verification
    payload: bytes


def seal(
    about: SnapshotMetadata, proof: Verification, payload: bytes, key: bytes | None = None
) -> bytes:
    """Write a snapshot, signed if there is a key."""
    head = _Head(
        about=about, proof=proof, size=len(payload), sha256=hashlib.sha256(payload).hexdigest()
    )
    signed = b"%b%d\n%b\n" % (_MAGIC, FORMAT, orjson.dumps(head.model_dump()))
    signature = _UNSIGNED if key is None else _signature(signed, key)
    lines = b"%b%b\n" % (signed, signature)
    return b"%b%b\n%b" % (lines, hashlib.sha256(lines).hexdigest().encode(), payload)


def unseal(blob: bytes, key: bytes | None = None) -> Snapshot:
    """Read a snapshot. Without a key, a signature is not looked at.

    Raises BadSnapshot for one that is damaged, of another format, or not signed by the key.
    """
    if not blob.startswith(_MAGIC):
        raise BadSnapshot("it is no snapshot of Millstream")
    parts = blob.split(b"\n", 4)
    written = parts[0].removeprefix(_MAGIC)
    if written != b"%d" % FORMAT and written.isdigit():
        raise BadSnapshot(f"it is written in format {int(written)}, and this is format {FORMAT}")
    if len(parts) < 5:
        raise BadSnapshot("it is damaged: it breaks off")
    first, head_line, signature, checksum, payload = parts
    signed = b"%b\n%b\n" % (first, head_line)
    if hashlib.sha256(b"%b%b\n" % (signed, signature)).hexdigest().encode() != checksum:
        raise BadSnapshot("it is damaged: its head is not what was written")
    if key is not None:
        _check_signature(signed, signature, key)
    try:
        head = _Head.model_validate(orjson.loads(head_line))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise BadSnapshot("its head is not one that this Millstream can read") from error
    if len(payload) != head.size:
        raise BadSnapshot(
            f"it is damaged: {len(payload)} bytes of payload are there, of {head.size}"
        )
    if hashlib.sha256(payload).hexdigest() != head.sha256:
        raise BadSnapshot("it is damaged: its payload is not what was written")
    return Snapshot(head.about, head.proof, payload)


def _signature(signed: bytes, key: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).hexdigest().encode()


def _check_signature(signed: bytes, signature: bytes, key: bytes) -> None:
    if signature == _UNSIGNED:
        raise BadSnapshot("it is not signed, but the settings have a key")
    if not hmac.compare_digest(signature, _signature(signed, key)):
        raise BadSnapshot("it is not signed with the key in the settings")
