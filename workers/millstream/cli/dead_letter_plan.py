"""Selects the dead letters to replay, gives reasons for the others, and replays."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from millstream.cli.console import console
from millstream.cli.dead_letter_tables import printable
from millstream.core.records.dead_letters import (
    DeadLetterRecord,
    RecordPosition,
    own_headers,
    replay_of,
)
from millstream.core.records.record import UNREADABLE_HEADERS, Headers, Record
from millstream.errors import Stop
from millstream.operations.dead_letter_reader import DeadLetterReader, Scan
from millstream.operations.dead_letter_replay import Replayer

LEFT_OUT: Final = {
    "replayed": "replayed already (--again takes them once more)",
    "max_replays": "replayed and failed again so often (--max-replays takes more)",
    "copies": "copies of another dead letter of the same message",
    "topic": "from a topic or partition that these settings do not name, or that is not there",
    "headers": "with headers that nobody could read, and that are therefore lost",
    "gone": "cut because they were too large, and no longer whole where they lay",
}
"""Why a dead letter is not replayed."""


@dataclass(frozen=True)
class Rules:
    """Which dead letters may be replayed, and where to."""

    topics: frozenset[str]
    """Topics that may be written; a header that names another one is ignored."""
    max_replays: int
    again: bool
    limit: int | None


@dataclass
class DeadLetterPlan:
    """Dead letters to replay, and the number of others by the words in `LEFT_OUT`."""

    letters: list[DeadLetterRecord] = field(default_factory=list)
    """In the order of partitions and offsets."""
    left_out: "Counter[str]" = field(default_factory=Counter)


def make_plan(found: Scan, rules: Rules, reader: DeadLetterReader) -> DeadLetterPlan:
    """Select, oldest first, up to the limit."""
    plan, seen = DeadLetterPlan(), set[RecordPosition]()
    for letter in found.letters:
        if len(plan.letters) == rules.limit:
            break
        why = _obstacle(letter, found, rules, seen, reader)
        if why is None:
            plan.letters.append(letter)
        else:
            plan.left_out[why] += 1
        seen.add(letter.source)
    return plan


def _obstacle(
    letter: DeadLetterRecord,
    found: Scan,
    rules: Rules,
    seen: set[RecordPosition],
    reader: DeadLetterReader,
) -> str | None:
    """Why a dead letter cannot be replayed; None: it can."""
    source = letter.source
    obstacles = {
        "topic": source.topic not in rules.topics
        or source.partition >= reader.partitions(source.topic),
        "headers": letter.reason == "headers",
        # At least once, a crash can repeat a dead letter.
        "copies": source in seen,
        "replayed": found.replayed[source] > 0 and not rules.again,
        "max_replays": letter.replays >= rules.max_replays,
    }
    why = next((why for why, holds in obstacles.items() if holds), None)
    if why is None and letter.truncated is not None and _whole(letter, reader) is None:
        return "gone"
    return why


def _whole(letter: DeadLetterRecord, reader: DeadLetterReader) -> Record | None:
    """The whole message of a cut dead letter, from its topic; None if it is gone."""
    record = reader.fetch(letter.source)
    # The topic may have been made anew since: then another message lies at the same offset.
    if record is None or record.timestamp != letter.timestamp:
        return None
    if record.headers is UNREADABLE_HEADERS or len(record.value or b"") != letter.truncated:
        return None
    return record


def plan_as_object(plan: DeadLetterPlan, *, dry_run: bool) -> dict[str, Any]:
    """A plan for JSON."""
    return {
        "dry_run": dry_run,
        "messages": len(plan.letters),
        "by_reason": [
            {"topic": topic, "reason": reason, "messages": count}
            for (topic, reason), count in _counts(plan).most_common()
        ],
        "left_out": dict(plan.left_out),
    }


def print_plan(plan: DeadLetterPlan, *, dry_run: bool) -> None:
    """Print what is, or would be, replayed and what is not."""
    verb = "would be" if dry_run else "to be"
    console.print(f"{messages(len(plan.letters))} {verb} replayed", soft_wrap=True)
    if plan.letters:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("messages", "topic", "reason"):
            table.add_column(title, overflow="fold")
        for (topic, reason), count in _counts(plan).most_common():
            table.add_row(f"{count:,}", Text(printable(topic)), Text(printable(reason)))
        console.print(table)
    for why, count in plan.left_out.most_common():
        console.print(f"left out: {count:,} {LEFT_OUT[why]}", soft_wrap=True)


def messages(count: int) -> str:
    """A number of messages as text."""
    return f"{count:,} {'message' if count == 1 else 'messages'}"


def _counts(plan: DeadLetterPlan) -> "Counter[tuple[str, str]]":
    return Counter((letter.source.topic, letter.reason) for letter in plan.letters)


def write_back(plan: DeadLetterPlan, reader: DeadLetterReader, replayer: Replayer) -> None:
    """Replay a plan; raises `Stop` if a record is gone meanwhile, or Kafka refuses."""
    try:
        for _, group in groupby(plan.letters, key=lambda letter: letter.place.partition):
            for letter, record in _records(list(group), reader):
                key, value, headers = _original(letter, record, reader)
                replayer.add(letter, replay_of(letter, key, value, headers))
        replayer.finish()
    except BaseException:  # Ctrl-C as well: readers wait for a transaction that stays open
        replayer.give_up()
        raise


def _records(
    letters: list[DeadLetterRecord], reader: DeadLetterReader
) -> Iterator[tuple[DeadLetterRecord, Record]]:
    """The dead letters of one partition with their records; raises `Stop` where one is gone."""
    wanted = {letter.place.offset: letter for letter in letters}
    first, last = letters[0].place, letters[-1].place
    for place, record in reader.read(first.topic, first.partition, first.offset, last.offset + 1):
        if (letter := wanted.pop(place.offset, None)) is not None:
            yield letter, record
    for letter in wanted.values():
        raise Stop(f"dead letter {letter.place} is gone meanwhile: run the replay again")


def _original(
    letter: DeadLetterRecord, record: Record, reader: DeadLetterReader
) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of the original message."""
    if letter.truncated is None:
        return record.key, record.value, own_headers(record.headers)
    whole = _whole(letter, reader)
    if whole is None:
        raise Stop(f"the message at {letter.source} is gone meanwhile: run the replay again")
    return whole.key, whole.value, list(whole.headers or ())
