"""Dead-letter records as they are read: the reason, the origin, and the message to replay.

`outputs.dead_letter` writes them. A replay writes two records in one transaction: the original
message, back into its partition, and a note into the dead letters that says so. Hence what was
replayed is known exactly, whatever crashed in between.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from millstream.core.records.record import Headers, Output, Record

REPLAYED_FROM: Final = "millstream-replayed-from"
"""On a replayed message: where it lay before any replay."""
REPLAYED_LETTER: Final = "millstream-replayed-letter"
"""On a replayed message: the dead letter that it was made of."""
REPLAYS: Final = "millstream-replays"
"""On a replayed message: how many replays it has had, this one among them."""
REPLAYED: Final = "millstream-replayed"
"""On a note in the dead letters: the message that lay here was replayed."""

_PLACE: Final = re.compile(r"([a-zA-Z0-9._-]{1,249})/([0-9]{1,10})/([0-9]{1,19})")
_FEW: Final = re.compile(r"[0-9]{1,9}")
# What `outputs.dead_letter` puts behind the headers that a message brought along begins with this.
_FIRST: Final = "millstream-stage"
_OURS: Final = frozenset({REPLAYED_FROM, REPLAYED_LETTER, REPLAYS})


class RecordPosition(NamedTuple):
    """Where a message lies. As text, `topic/partition/offset`: no topic's name has a slash."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None where it is something else."""
        found = _PLACE.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """What the headers of a dead letter say; the message itself stays in its record."""

    place: RecordPosition
    """Where the dead letter lies."""
    written_at: int
    """When it was written, ms."""
    stage: str
    reason: str
    detail: str
    source: RecordPosition
    """Where its message lies or lay."""
    timestamp: int
    """Kafka's timestamp of the message, ms; -1 where it had none."""
    model_version: str
    size: int | None
    """Bytes of the value that the letter holds; None: it has none."""
    truncated: int | None
    """Bytes of the whole value, where a part of the message had to be left out."""
    origin: RecordPosition
    """Where the message lay before its first replay; `source` if it is none."""
    replays: int
    """How often the message had been replayed before it failed this time."""


def our_headers(headers: Headers | None) -> dict[str, str]:
    """Name to last value of what begins with `millstream-`.

    The last counts: ours stand behind what the user's message brought along, whatever that is.
    """
    return {
        name: value.decode(errors="replace")
        for name, value in headers or ()
        if name.startswith("millstream-") and value is not None
    }


def read_letter(topic: str, partition: int, record: Record) -> DeadLetterRecord | None:
    """The dead letter in a record of the dead-letters topic; None where it is none of ours."""
    ours = our_headers(record.headers)
    try:
        source = RecordPosition(
            ours["millstream-topic"],
            int(ours["millstream-partition"]),
            int(ours["millstream-offset"]),
        )
        truncated = ours.get("millstream-truncated")
        return DeadLetterRecord(
            place=RecordPosition(topic, partition, record.offset),
            written_at=record.timestamp,
            stage=ours[_FIRST],
            reason=ours["millstream-reason"],
            detail=ours["millstream-detail"],
            source=source,
            timestamp=int(ours["millstream-timestamp"]),
            model_version=ours["millstream-model-version"],
            size=None if record.value is None else len(record.value),
            truncated=None if truncated is None else int(truncated),
            origin=RecordPosition.parse(ours.get(REPLAYED_FROM, "")) or source,
            replays=int(ours[REPLAYS]) if _FEW.fullmatch(ours.get(REPLAYS, "")) else 0,
        )
    except (KeyError, ValueError):
        return None


def read_note(record: Record) -> RecordPosition | None:
    """Which message was replayed, as a note says; None where the record is no note."""
    ours = our_headers(record.headers)
    return None if _FIRST in ours else RecordPosition.parse(ours.get(REPLAYED, ""))


def own_headers(headers: Headers | None) -> Headers:
    """What the message of a dead letter brought along by itself."""
    names = [name for name, _ in headers or ()]
    if _FIRST not in names:
        return list(headers or ())
    # From behind, for a message may have been a copy of a dead letter.
    return list(headers or ())[: len(names) - 1 - names[::-1].index(_FIRST)]


def replay_of(
    letter: DeadLetterRecord, key: bytes | None, value: bytes | None, headers: Headers
) -> Output:
    """The message that replays a dead letter: it as it was, and where it comes from."""
    kept = [(name, each) for name, each in headers if name not in _OURS]
    ours: Headers = [
        (REPLAYED_FROM, str(letter.origin).encode()),
        (REPLAYED_LETTER, str(letter.place).encode()),
        (REPLAYS, str(letter.replays + 1).encode()),
    ]
    return Output(key, value, kept + ours)


def note_of(letter: DeadLetterRecord) -> Output:
    """The note that a dead letter was replayed."""
    return Output(None, None, [(REPLAYED, str(letter.source).encode())])


def describe(letter: DeadLetterRecord, replayed: int) -> dict[str, Any]:
    """A dead letter for JSON; `replayed`: how often it was replayed since it was written."""
    return {
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "written_at": letter.written_at,
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": letter.detail,
        "source": letter.source._asdict(),
        "timestamp": letter.timestamp,
        "model_version": letter.model_version,
        "bytes": letter.size,
        "truncated": letter.truncated,
        "origin": letter.origin._asdict(),
        "replays": letter.replays,
        "replayed": replayed,
    }
