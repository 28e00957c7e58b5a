"""A snapshot: the state of one partition's learner, and the data to verify it.

It stands for exact offsets, and only shortens the fold of the log. It may be stale, never wrong: so
it is signed when it is written, and verified when it is read. `finish` writes one and `load` reads
one, each on a copy of the model that is then thrown away, since making a digest slows the objects
of a model down for good, and asking some models changes them.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isclose
from typing import Any, Final

from millstream.core.models.interface.learner import Features, Learner
from millstream.core.models.state_codec import (
    BadStateError,
    Captured,
    plain_from_json,
    plain_to_json,
    restore_into,
)
from millstream.core.snapshots.envelope import (
    FORMAT,
    BadSnapshot,
    Canary,
    Snapshot,
    SnapshotMetadata,
    Verification,
    seal,
    unseal,
)

_ROUNDING: Final = 1e-9
"""How far an answer may be off under other versions of the libraries."""
_COMPARED: Final = ("python", "river", "scikit-learn", "numpy")


def finish(
    captured: Captured,
    about: SnapshotMetadata,
    fresh: Learner,
    probe: Features | None,
    key: bytes | None = None,
    trusted_modules: Sequence[str] = (),
) -> bytes:
    """Make the sealed snapshot of what `state_codec.capture` has copied. Not for the loop.

    `fresh`: a fresh learner of the same definition, which is used up here. `probe`: features to ask
    it, such as those of the latest event; None if there was none yet.
    Raises BadSnapshot where the state could not be read back.
    """
    try:
        payload = captured.to_bytes()
        restore_into(fresh, captured.codec, payload, trusted_modules)
        proof = Verification(
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


def _ask(learner: Learner, features: Any) -> Canary:
    """Ask a learner; that it raises is an answer too, and has to come out again."""
    try:
        asked = plain_from_json(features)
        try:
            answer = learner.predict(asked)
        except Exception as error:  # noqa: BLE001 - whatever a model raises at this probe
            answer = {"raises": type(error).__name__}
        return Canary(features=features, answer=plain_to_json(answer))
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


__all__ = [
    "FORMAT",
    "BadSnapshot",
    "Canary",
    "Snapshot",
    "SnapshotMetadata",
    "Verification",
    "check_usable",
    "finish",
    "load",
    "probed",
    "seal",
    "unseal",
    "verify",
]
