"""Messages that are no JSON, read by a function that the settings name."""

import struct
from typing import Any

import pytest

from millstream import DeadLetter, Memory, SettingsError
from millstream.errors import Terminated
from tests.support.apps import late

CODEC = "tests.support.codecs:packed"
LABEL_CODEC = "tests.support.codecs:packed_label"


def packed(codec: str = CODEC, **labels: Any) -> dict[str, Any]:
    events = {"topic": "sites", "id": "id", "features": ["x"], "timestamp": "at", "codec": codec}
    return late({"codec": LABEL_CODEC, **labels}, events=events)


def event(identity: int, x: float = 1.5) -> bytes:
    return struct.pack(">Id", identity, x)


def test_events_and_labels_in_bytes_of_their_own_are_predicted_and_learned() -> None:
    app = Memory(packed())
    prediction = app.predict(event(7), key="7")
    assert (prediction["id"], prediction["features"]) == (7, {"x": 1.5})
    assert prediction["event_time"] == 1_767_225_600_000
    app.send_label(struct.pack(">I?", 7, 1), key="7")
    assert app.learned == 1
    app.restart()
    assert app.learned == 1


@pytest.mark.parametrize(
    ("codec", "value", "reason", "detail"),
    [
        (CODEC, b"too short", "codec", "error"),
        ("tests.support.codecs:gives_a_list", b"", "not_an_object", "the codec gave a list"),
        ("tests.support.codecs:gives_a_set", b"", "codec", "it gave what JSON cannot hold"),
        ("tests.support.codecs:lazy", b"", "codec", "RuntimeError"),
        ("tests.support.codecs:exits", b"", "codec", "SystemExit"),
        (CODEC, event(1, float("inf")), "missing_feature", ""),
    ],
)
def test_what_a_codec_cannot_read_is_a_dead_letter(
    codec: str, value: bytes, reason: str, detail: str
) -> None:
    settings = packed(codec)
    settings["events"]["missing"] = "dead_letter"
    app = Memory(settings)
    with pytest.raises(DeadLetter) as bad:
        app.predict(value)
    assert bad.value.reason == reason
    assert bad.value.detail.startswith(detail)
    assert app.dead_letters[0].stage == ("validate" if reason == "missing_feature" else "decode")


@pytest.mark.parametrize(
    ("value", "raised"), [(b"SIGTERM", Terminated), (b"Ctrl-C", KeyboardInterrupt)]
)
def test_a_signal_while_a_codec_reads_is_no_error_of_the_codec(
    value: bytes, raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        Memory(packed("tests.support.codecs:is_stopped")).predict(value)


@pytest.mark.parametrize(
    ("codec", "sentence"),
    [
        ("nowhere.at_all:function", r"events\.codec: nowhere\.at_all cannot be imported"),
        ("tests.support.codecs:nothing", "has no function nothing"),
        ("packed", "it has to be of the form package.module:function"),
    ],
)
def test_a_codec_that_is_not_there_is_named(codec: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Memory(packed(codec))


def test_fields_cannot_be_sent_where_a_codec_reads_messages() -> None:
    app = Memory(packed())
    with pytest.raises(SettingsError, match=r"events\.codec"):
        app.predict({"id": 1, "x": 1.0})
    with pytest.raises(SettingsError, match=r"events\.codec"):
        app.run([{"id": 1, "x": 1.0}])
    with pytest.raises(SettingsError, match=r"labels\.codec"):
        app.label(1, label=True)
