"""A snapshot: the state of one shard's learner, and all that is needed to trust it.

It stands for exact offsets, and only shortens the fold of the log. It may be stale, never wrong: so
it is sealed when it is written, and proved when it is read. `finish` writes one and `load` reads
one, each on a copy of the model that is then thrown away, since making a digest slows the objects
of a model down for good, and asking some models changes them.

Layout, each line ending in a newline:

    millstream snapshot 1
    {"about": ..., "proof": ..., "size": bytes of the payload, "sha256": of the payload}
    HMAC-SHA256 of the two lines above, or - where no key is configured
    SHA-256 of the three lines above
    the payload: what `codecs.Captured.to_bytes` gave
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from millstream.core.models.codecs import (
    BadStateError,
    Captured,
    Codec,
    plain_from_json,
    plain_to_json,
    restore_into,
)
from millstream.core.models.learner import Features, Learner
from millstream.errors import MillstreamError

FORMAT: Final = 1
_MAGIC: Final = b"millstream snapshot "
_UNSIGNED: Final = b"-"
_ROUNDING: Final = 1e-9
"""How far an answer may be off under other versions of the libraries."""
_COMPARED: Final = ("python", "river", "scikit-learn", "numpy")


class BadSnapshot(MillstreamError):
    """A snapshot that must not be used; the message is one sentence that says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class About(_Part):
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
    """Late labels, at least once: owner to the owner before, see `fold.Claims`."""


class Probe(_Part):
    """A question and the answer that must come out again, both as `plain_to_json` writes them."""

    features: Any
    answer: Any


class Proof(_Part):
    """What has to come out again when the payload is read."""

    codec: Codec
    portable: bool
    """Means the same under other versions of the libraries."""
    digest: str
    """`Learner.digest`, before the probe."""
    probe: Probe | None


class _Head(_Part):
    about: About
    proof: Proof
    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """An unsealed snapshot; its bytes are what was written, no more is known yet."""

    about: About
    proof: Proof
    payload: bytes


def finish(
    captured: Captured,
    about: About,
    fresh: Learner,
    probe: Features | None,
    key: bytes | None = None,
    trusted_modules: Sequence[str] = (),
) -> bytes:
    """Make the sealed snapshot of what `codecs.capture` has copied. Not for the loop.

    `fresh`: a fresh learner of the same definition, which is used up here. `probe`: features to ask
    it, such as those of the latest event; None if there was none yet.
    Raises BadSnapshot where the state could not be read back.
    """
    try:
        payload = captured.to_bytes()
        restore_into(fresh, captured.codec, payload, trusted_modules)
        proof = Proof(
            codec=captured.codec,
            portable=captured.portable,
            digest=fresh.digest(),
            probe=None if probe is None else _ask(fresh, plain_to_json(dict(probe))),
        )
    except BadStateError as error:
        raise BadSnapshot(f"the model cannot be written so that it reads back: {error}") from error
    except Exception as error:  # a model's own code
        raise BadSnapshot(f"the model cannot be written: {_named(error)}") from error
    return seal(about, proof, payload, key)


def load(
    snapshot: Snapshot,
    build_learner: Callable[[], Learner],
    model_version: str,
    versions: Mapping[str, str],
    *,
    allow_version_change: bool = False,
    trusted_modules: Sequence[str] = (),
) -> Learner:
    """Make the learner that a snapshot holds, once a first copy of it has been proved.

    Raises BadSnapshot where it is of another definition, was written with other versions of the
    libraries that it depends on (unless `allow_version_change`, and its probe passes), or is not
    what it says.
    """
    check_usable(snapshot, model_version, versions, allow_version_change=allow_version_change)
    # The first copy is proved and thrown away.
    for proved in (False, True):
        learner = build_learner()
        try:
            restore_into(learner, snapshot.proof.codec, snapshot.payload, trusted_modules)
            if not proved:
                verify(snapshot, learner, versions)
        except BadStateError as error:
            raise BadSnapshot(str(error)) from error
        except BadSnapshot:
            raise
        except Exception as error:  # a model's own code, on a state that may fit it badly
            raise BadSnapshot(f"the model breaks on it: {_named(error)}") from error
    return learner


def check_usable(
    snapshot: Snapshot,
    model_version: str,
    versions: Mapping[str, str],
    *,
    allow_version_change: bool = False,
) -> None:
    """Compare what a snapshot says of itself with the settings and the libraries here.

    Raises BadSnapshot.
    """
    about, proof = snapshot.about, snapshot.proof
    if about.model_version != model_version:
        raise BadSnapshot(
            f"it holds version {about.model_version} of the model, but the settings define "
            f"{model_version}"
        )
    changed = _changed(about.versions, versions)
    if not changed:
        return
    if not (proof.portable or allow_version_change):
        raise BadSnapshot(
            f"it was written with {changed}, and a model of this kind can only be read with the "
            "same versions; install those, or allow the change in the settings"
        )
    if proof.probe is None:
        raise BadSnapshot(f"it was written with {changed}, and holds no probe to prove it by")


def probed(snapshot: Snapshot) -> Features | None:
    """The features of a snapshot's probe, once `load` has proved it."""
    probe = snapshot.proof.probe
    features: Features | None = None if probe is None else plain_from_json(probe.features)
    return features


def verify(snapshot: Snapshot, learner: Learner, versions: Mapping[str, str]) -> None:
    """Prove a learner that `restore_into` was given; it may have changed afterwards.

    Its digest has to be the same, and its answer to the probe. Another release of River may keep
    more in a model, which changes the digest, and may do its sums in another order; so there the
    probe alone decides, and only the last digits of its numbers may differ.
    Raises BadSnapshot.
    """
    proof, exact = snapshot.proof, not _changed(snapshot.about.versions, versions)
    if exact and learner.digest() != proof.digest:
        raise BadSnapshot("the weights that it gives are not those that were written")
    if proof.probe is None:
        return
    answer = _ask(learner, proof.probe.features).answer
    if not _same(answer, proof.probe.answer, 0.0 if exact else _ROUNDING):
        raise BadSnapshot("the model that it gives answers its probe differently")


def seal(about: About, proof: Proof, payload: bytes, key: bytes | None = None) -> bytes:
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


def _ask(learner: Learner, features: Any) -> Probe:
    """Ask a learner; that it raises is an answer too, and has to come out again."""
    try:
        asked = plain_from_json(features)
        try:
            answer = learner.predict(asked)
        except Exception as error:  # noqa: BLE001 - whatever a model raises at this probe
            answer = {"raises": type(error).__name__}
        return Probe(features=features, answer=plain_to_json(answer))
    except BadStateError as error:
        raise BadSnapshot(f"its probe cannot be used: {error}") from error


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _same(one: Any, other: Any, tolerance: float) -> bool:
    """Compare two answers as `plain_to_json` writes them: by type, and numbers by their digits."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(
            _same(part, its, tolerance) for part, its in zip(one, other, strict=True)
        )
    if type(one) is float:
        return isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return bool(one == other)


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Name the libraries whose versions differ; "" if none does."""
    differing = [
        f"{name} {then.get(name)} (here {now.get(name)})"
        for name in _COMPARED
        if _significant(name, then) != _significant(name, now)
    ]
    return ", ".join(differing)


def _significant(name: str, versions: Mapping[str, str]) -> str | None:
    version = versions.get(name)
    return ".".join(version.split(".")[:2]) if version and name == "python" else version
