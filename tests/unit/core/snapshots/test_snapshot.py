"""A snapshot may be stale, never wrong: what was changed, torn or forged is refused."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream._versions import library_versions
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.expression import build
from millstream.core.models.river.kinds import RiverClassifier, river_learner
from millstream.core.models.state_codec import capture
from millstream.core.snapshots.chunks import Chunk, assemble, chunks
from millstream.core.snapshots.snapshot import (
    BadSnapshot,
    Snapshot,
    SnapshotMetadata,
    finish,
    load,
    seal,
    unseal,
)

PLAIN = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"
OPAQUE = "preprocessing.RobustScaler() | linear_model.LogisticRegression()"
PICKLED = "tree.HoeffdingTreeClassifier(grace_period=20)"
KEY = b"a key that nobody knows"
VERSION = "0123456789ab"
PROBE = {"a": 0.25, "b": 1.5}
HERE = library_versions()
ELSEWHERE = {**HERE, "river": "0.27.0"}


def about(**changes: Any) -> SnapshotMetadata:
    known: dict[str, Any] = {
        "app": "fraud",
        "partition": 3,
        "positions": {"events": 120, "labels": 90},
        "logs": {"predictions": 80, "examples": 85},
        "topic_ids": {"payments": "u-1"},
        "learned": 60,
        "model_version": VERSION,
        "model": PLAIN,
        "versions": HERE,
        "created_at": 1_767_225_600_000,
    }
    return SnapshotMetadata(**known | changes)


def making(expression: str) -> Callable[[], Learner]:
    return lambda: river_learner(build(expression))


def taught(expression: str) -> Learner:
    learner = making(expression)()
    for i in range(60):
        learner.learn({"a": i * 0.37 % 1, "b": i * 0.11 % 1}, i % 3 == 0)
    return learner


def snapshot_of(
    expression: str = PLAIN, key: bytes | None = None, probe: Any = PROBE, **changes: Any
) -> bytes:
    captured = capture(taught(expression))
    return finish(captured, about(**changes), making(expression)(), probe, key)


def loaded(blob: bytes, expression: str = PLAIN, versions: Any = HERE, **options: Any) -> Learner:
    return load(unseal(blob), making(expression), VERSION, versions, **options)


def changed(blob: bytes, change: Callable[[dict[str, Any]], None]) -> Snapshot:
    """Unseal after a change that somebody has sealed again, properly."""
    snapshot = unseal(blob)
    proof = snapshot.proof.model_dump()
    change(proof)
    return unseal(seal(snapshot.about, type(snapshot.proof)(**proof), snapshot.payload))


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("expression", [PLAIN, OPAQUE, PICKLED])
def test_a_snapshot_gives_back_the_learner_and_what_is_said_about_it(
    expression: str, key: bytes | None
) -> None:
    snapshot = unseal(snapshot_of(expression, key), key)
    assert snapshot.about == about()
    learner = load(snapshot, making(expression), VERSION, HERE)
    live = taught(expression)
    assert learner.predict(PROBE) == live.predict(PROBE)
    assert learner.digest() == live.digest() == snapshot.proof.digest


def test_the_loaded_learner_was_neither_asked_nor_digested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    touched: list[Learner] = []
    for method in ("predict", "digest"):
        original = getattr(RiverClassifier, method)

        def recorded(self: Any, *arguments: Any, original: Any = original) -> Any:
            touched.append(self)
            return original(self, *arguments)

        monkeypatch.setattr(RiverClassifier, method, recorded)
    live = taught(PLAIN)
    blob = finish(capture(live), about(), making(PLAIN)(), PROBE)
    again = loaded(blob)
    assert len({id(learner) for learner in touched}) == 2
    assert all(learner is not live and learner is not again for learner in touched)


def test_a_probe_that_the_model_raises_on_has_to_raise_again() -> None:
    unscaled = "preprocessing.MinMaxScaler(window_size=5) | linear_model.LogisticRegression()"
    fresh = making(unscaled)
    blob = finish(capture(fresh()), about(), fresh(), PROBE)
    assert unseal(blob).proof.probe is not None
    loaded(blob, unscaled)
    with pytest.raises(BadSnapshot):
        loaded(blob, "preprocessing.MinMaxScaler() | linear_model.LogisticRegression()")


def test_a_snapshot_can_do_without_a_probe() -> None:
    assert loaded(snapshot_of(probe=None)).digest() == taught(PLAIN).digest()


# -- damage ----------------------------------------------------------------------------------------

SIGNED = snapshot_of(key=KEY)


@pytest.mark.parametrize("key", [None, KEY])
@given(at=st.integers(0, len(SIGNED) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(key: bytes | None, at: int, bit: int) -> None:
    flipped = bytearray(SIGNED)
    flipped[at] ^= 1 << bit
    with pytest.raises(BadSnapshot):
        unseal(bytes(flipped), key)


@given(length=st.integers(0, len(SIGNED) - 1))
def test_any_truncation_is_noticed(length: int) -> None:
    with pytest.raises(BadSnapshot):
        unseal(SIGNED[:length], KEY)


def test_anything_appended_is_noticed() -> None:
    with pytest.raises(BadSnapshot, match="damaged"):
        unseal(SIGNED + b"\n", KEY)


@given(st.binary())
def test_arbitrary_bytes_are_no_snapshot(content: bytes) -> None:
    for blob in (content, b"millstream snapshot 1\n" + content):
        with pytest.raises(BadSnapshot):
            unseal(blob)


def test_a_later_format_is_named() -> None:
    with pytest.raises(BadSnapshot, match="it is written in format 2, and this is format 1"):
        unseal(SIGNED.replace(b"snapshot 1\n", b"snapshot 2\n", 1))


def test_a_head_that_says_more_than_is_known_is_refused() -> None:
    first, head, signature, _, payload = snapshot_of().split(b"\n", 4)
    head = orjson.dumps({**orjson.loads(head), "more": 1})
    lines = b"\n".join([first, head, signature, b""])
    checksum = hashlib.sha256(lines).hexdigest().encode()
    with pytest.raises(BadSnapshot, match="head"):
        unseal(b"%b%b\n%b" % (lines, checksum, payload))


# -- forgery ---------------------------------------------------------------------------------------


def test_a_snapshot_of_another_key_is_refused() -> None:
    with pytest.raises(BadSnapshot, match="not signed with the key"):
        unseal(SIGNED, b"another key")


def test_an_unsigned_snapshot_is_refused_where_a_key_is_configured() -> None:
    with pytest.raises(BadSnapshot, match="not signed, but"):
        unseal(snapshot_of(), KEY)


def test_a_signature_does_not_carry_over_to_other_weights() -> None:
    other = snapshot_of(OPAQUE).split(b"\n", 4)
    forged = SIGNED.split(b"\n", 4)
    forged[1], forged[4] = other[1], other[4]
    forged[3] = hashlib.sha256(b"\n".join(forged[:3]) + b"\n").hexdigest().encode()
    with pytest.raises(BadSnapshot, match="not signed with the key"):
        unseal(b"\n".join(forged), KEY)


def test_without_a_key_a_signed_snapshot_can_be_read() -> None:
    assert unseal(SIGNED).about == about()


# -- what does not belong here ---------------------------------------------------------------------


def test_another_definition_of_the_model_is_refused() -> None:
    with pytest.raises(BadSnapshot, match=f"holds version {VERSION} of the model, .* define other"):
        load(unseal(snapshot_of()), making(PLAIN), "other", HERE)


@pytest.mark.parametrize("expression", [OPAQUE, PICKLED])
@pytest.mark.parametrize("library", ["river", "scikit-learn", "numpy", "python"])
def test_a_model_that_depends_on_its_libraries_is_refused_under_others(
    expression: str, library: str
) -> None:
    blob = snapshot_of(expression)
    with pytest.raises(BadSnapshot, match=f"it was written with {library} .*here 9.9"):
        loaded(blob, expression, {**HERE, library: "9.9"})


@pytest.mark.parametrize("expression", [OPAQUE, PICKLED])
def test_it_is_read_where_the_change_is_allowed_and_the_probe_passes(expression: str) -> None:
    learner = loaded(snapshot_of(expression), expression, ELSEWHERE, allow_version_change=True)
    assert learner.digest() == taught(expression).digest()


@pytest.mark.parametrize("expression", [PLAIN, OPAQUE, PICKLED])
def test_under_other_versions_a_snapshot_without_a_probe_is_refused(expression: str) -> None:
    blob = snapshot_of(expression, probe=None)
    with pytest.raises(BadSnapshot, match="no probe"):
        loaded(blob, expression, ELSEWHERE, allow_version_change=True)


@pytest.mark.parametrize("library", ["river", "scikit-learn", "numpy", "python"])
def test_plain_data_is_read_under_other_versions(library: str) -> None:
    loaded(snapshot_of(), PLAIN, {**HERE, library: "9.9"})


@pytest.mark.parametrize("versions", [{"python": "3.11.99"}, {"millstream": "9"}])
def test_a_patch_of_python_or_another_millstream_changes_no_model(versions: Any) -> None:
    here = {**HERE, "python": "3.11.1"}
    blob = snapshot_of(PICKLED, versions=here)
    loaded(blob, PICKLED, {**here, **versions})


def test_weights_that_are_not_those_that_were_written_are_refused() -> None:
    snapshot = changed(snapshot_of(), lambda proof: proof.update(digest="0" * 64))
    with pytest.raises(BadSnapshot, match="weights"):
        load(snapshot, making(PLAIN), VERSION, HERE)


def nudged(factor: float) -> Snapshot:
    def nudge(proof: dict[str, Any]) -> None:
        probabilities = proof["probe"]["answer"][3][1]
        probabilities[3] = [value * factor for value in probabilities[3]]

    return changed(snapshot_of(), nudge)


def test_an_answer_that_differs_in_its_last_bit_is_refused() -> None:
    with pytest.raises(BadSnapshot, match="answers its probe differently"):
        load(nudged(1 + 2**-52), making(PLAIN), VERSION, HERE)


def test_under_another_river_the_last_digits_of_an_answer_may_differ_and_no_more() -> None:
    load(nudged(1 + 2**-40), making(PLAIN), VERSION, ELSEWHERE)
    with pytest.raises(BadSnapshot, match="answers its probe differently"):
        load(nudged(1 + 1e-6), making(PLAIN), VERSION, ELSEWHERE)


def test_an_answer_of_another_type_is_refused() -> None:
    def number(proof: dict[str, Any]) -> None:
        values = proof["probe"]["answer"][3]
        values[0] = int(values[0])

    with pytest.raises(BadSnapshot, match="answers its probe differently"):
        load(changed(snapshot_of(), number), making(PLAIN), VERSION, HERE)


def test_a_model_of_other_settings_is_refused_even_if_their_version_were_the_same() -> None:
    for other in (
        "preprocessing.StandardScaler() | linear_model.Perceptron()",
        "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.Adam())",
        PICKLED,
    ):
        with pytest.raises(BadSnapshot):
            loaded(snapshot_of(), other)


# -- chunks ----------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.integers(1, 50), st.randoms())
def test_chunks_come_together_in_any_order(blob: bytes, size: int, shuffler: Any) -> None:
    pieces = chunks("fraud-3-120", blob, size)
    assert all(len(Chunk.from_bytes(piece).data) <= size for piece in pieces)
    shuffler.shuffle(pieces)
    assert assemble(pieces) == blob


@given(st.integers(1, 400), st.data())
def test_chunks_that_are_not_all_there_are_no_snapshot(size: int, data: Any) -> None:
    pieces = chunks("s", SIGNED, size)
    at = data.draw(st.integers(0, len(pieces) - 1))
    for torn in (pieces[:at] + pieces[at + 1 :], [*pieces, pieces[at]]):
        with pytest.raises(BadSnapshot):
            assemble(torn)


def test_chunks_of_two_snapshots_are_none() -> None:
    one, other = chunks("s", b"a" * 20, 10), chunks("s", b"b" * 20, 10)
    later = chunks("t", b"a" * 20, 10)
    for mixed in ([one[0], other[1]], [one[0], later[1]]):
        with pytest.raises(BadSnapshot, match="more than one"):
            assemble(mixed)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_in_a_chunk_is_noticed(at: int, bit: int) -> None:
    pieces = chunks("s", b"some bytes of a snapshot", 10)
    flipped = bytearray(pieces[1])
    flipped[at % len(flipped)] ^= 1 << bit
    with pytest.raises(BadSnapshot):
        assemble([pieces[0], bytes(flipped), pieces[2]])


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\n", b"1\n", b'{"snapshot":"s","index":0,"count":1}\n']
)
def test_a_message_that_is_no_chunk_is_refused(content: bytes) -> None:
    with pytest.raises(BadSnapshot):
        assemble([content])
