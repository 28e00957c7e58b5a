"""Tables of dead letters, with control characters escaped against terminal injection."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from millstream.cli.console import console
from millstream.core.records.dead_letters import DeadLetterRecord, RecordPosition, describe
from millstream.core.records.record import REASONS, Record

MOST_SHOWN: Final = 4_000
"""Characters of a value or a header, on a terminal."""


def letters_table(
    letters: Iterable[DeadLetterRecord], replayed: Mapping[RecordPosition, int]
) -> Table:
    """One row for each; `replayed`: replays so far by the position of the message."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("at", "written (UTC)", "reason", "message", "tries", "replayed", "detail"):
        table.add_column(title, overflow="fold")
    for letter in letters:
        times = replayed.get(letter.source, 0)
        cells = (
            f"{letter.place.partition}/{letter.place.offset}",
            _time(letter.written_at),
            letter.reason,
            str(letter.source),
            str(letter.replays + 1),
            "no" if not times else "yes" if times == 1 else f"{times} times",
            letter.detail,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def counts_table(counts: "Counter[str]") -> Table:
    """The number of each reason, and its meaning."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("count", justify="right")
    table.add_column("reason")
    table.add_column("meaning", overflow="fold")
    for reason, count in counts.most_common():
        table.add_row(f"{count:,}", Text(printable(reason)), Text(_meaning(reason)))
    return table


def print_letter(letter: DeadLetterRecord, record: Record, replayed: int) -> None:
    """Print a dead letter and the message in it."""
    value = "none" if record.value is None else printable(record.value)
    if letter.truncated is not None:
        value += f" (cut: the whole, of {letter.truncated:,} bytes, lay at {letter.source})"
    lines = [
        ("dead letter", f"{letter.place}, {_time(letter.written_at)} UTC"),
        ("reason", f"{letter.reason}: {_meaning(letter.reason)}"),
        ("stage", letter.stage),
        ("detail", letter.detail or "none"),
        ("message", f"{letter.source}, {_time(letter.timestamp)} UTC"),
        ("model", letter.model_version),
        ("tries", _tries(letter)),
        ("replayed since", "no" if not replayed else f"{replayed} times"),
        ("key", "none" if record.key is None else printable(record.key)),
        *(
            (f"header {name}", "none" if each is None else printable(each))
            for name, each in record.headers or ()
        ),
        ("value", value),
    ]
    for name, text in lines:
        line = Text(f"{printable(name)}: ", style="dim").append(printable(text), style="not dim")
        console.print(line, soft_wrap=True)
    console.print()


def as_object(letter: DeadLetterRecord, record: Record, replayed: int) -> dict[str, Any]:
    """A dead letter with its message for JSON; bytes are base64."""
    return {
        **describe(letter, replayed),
        "meaning": _meaning(letter.reason),
        "key": _base64(record.key),
        "headers": [[name, _base64(each)] for name, each in record.headers or ()],
        "value": _base64(record.value),
    }


def printable(data: bytes | str) -> str:
    """Text that is safe on a terminal: no control characters, no invalid UTF-8."""
    text = data if isinstance(data, str) else data.decode(errors="backslashreplace")
    cut = text[:MOST_SHOWN]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return safe if len(cut) == len(text) else f"{safe}... (--json shows all {len(text):,})"


def _meaning(reason: str) -> str:
    return REASONS[reason][1] if reason in REASONS else "not known to this version of Millstream"


def _tries(letter: DeadLetterRecord) -> str:
    if not letter.replays:
        return "1"
    return f"{letter.replays + 1}: replayed, first from {letter.origin}"


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()
