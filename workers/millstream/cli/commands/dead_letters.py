"""`millstream dead-letters`: lists, explains and replays dead letters."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from pydantic import TypeAdapter, ValidationError

from millstream.cli.console import Json, SettingsFile, console, is_terminal, load_for_command
from millstream.cli.dead_letter_plan import (
    Rules,
    make_plan,
    messages,
    plan_as_object,
    print_plan,
    write_back,
)
from millstream.cli.dead_letter_tables import as_object, counts_table, letters_table, print_letter
from millstream.config.settings import Settings
from millstream.config.yaml_file import nearest
from millstream.core.records.dead_letters import (
    DeadLetterRecord,
    RecordPosition,
    describe,
    read_letter,
)
from millstream.core.records.record import REASONS
from millstream.core.spec import Milliseconds
from millstream.errors import SettingsError, Stop
from millstream.kafka.admin import connect
from millstream.operations.dead_letter_reader import DeadLetterReader, Scan
from millstream.operations.dead_letter_replay import Replayer

SHOWN = 100

app = typer.Typer(
    name="dead-letters", help="List, show and replay dead letters.", no_args_is_help=True
)

Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Of this reason only; may be repeated.")
]
Stages = Annotated[
    list[str] | None, typer.Option("--stage", help="Of this stage only; may be repeated.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Written since: 2h, or 2026-01-31T12:00 (UTC)."),
]
Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="In this one only; may be repeated.")
]


@dataclass(frozen=True)
class Filter:
    """A selection of dead letters."""

    reasons: frozenset[str]
    stages: frozenset[str]
    partitions: tuple[int, ...]
    since: int | None
    """ms since 1970."""

    def fits(self, letter: DeadLetterRecord) -> bool:
        """Whether reason and stage of a dead letter are selected."""
        return (not self.reasons or letter.reason in self.reasons) and (
            not self.stages or letter.stage in self.stages
        )

    def scan(self, reader: DeadLetterReader) -> Scan:
        """Read the selected dead letters."""
        partitions = reader.chosen_partitions(self.partitions)
        found = reader.scan(partitions, self.since, self.fits)
        if found.foreign:
            typer.echo(f"millstream: {found.foreign} records in {reader.topic} are no dead letters "
                       "of Millstream's, and left out", err=True)  # fmt: skip
        return found


@app.command("list")
def list_letters(
    settings_file: SettingsFile,
    reason: Reasons = None,
    stage: Stages = None,
    since: Since = None,
    partition: Partitions = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Show no more.  [default: {SHOWN}; all with --json]")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Count by reason at the end, the ones not shown too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List dead letters by partition and offset, oldest first."""
    settings, chosen = load_for_command(settings_file), make_filter(reason, stage, since, partition)
    reader = DeadLetterReader(settings, connect(settings))
    found = chosen.scan(reader)
    letters = found.letters
    shown = letters[: limit if limit or as_json else SHOWN]
    counts = Counter(letter.reason for letter in letters)
    if as_json:
        for letter in shown:
            line = describe(letter, found.replayed[letter.source])
            typer.echo(orjson.dumps(line).decode())
        if summary:
            typer.echo(orjson.dumps({"summary": dict(counts.most_common())}).decode())
        return
    if not letters:
        console.print(f"no such dead letters in {reader.topic}", soft_wrap=True, markup=False)
        return
    console.print(letters_table(shown, found.replayed))
    if len(shown) < len(letters):
        console.print(f"{len(shown):,} of {len(letters):,} are shown: --limit shows more")
    if summary:
        console.print(counts_table(counts))


@app.command("show")
def show(
    settings_file: SettingsFile,
    partition: Annotated[
        int | None, typer.Argument(min=0, help="Partition in the dead-letters topic.")
    ] = None,
    offset: Annotated[
        int | None, typer.Argument(min=0, help="Offset in the dead-letters topic.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC/PARTITION/OFFSET",
            help="Instead: where the message lay, at its first try or at a later one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a dead letter whole: why it failed, its headers, its key and its value."""
    settings = load_for_command(settings_file)
    place = _source_place(source)
    by_position = partition is not None and offset is not None
    if by_position == (place is not None) or (place is not None and partition is not None):
        raise SettingsError("name a dead letter either by PARTITION and OFFSET, or by --source")
    reader = DeadLetterReader(settings, connect(settings))
    if place is None:
        letters = [_letter_at(reader, RecordPosition(reader.topic, partition or 0, offset or 0))]
    else:
        letters = _letters_of(reader, place)
    for letter in letters:
        record = reader.fetch(letter.place)
        if record is None:
            raise Stop(f"dead letter {letter.place} is gone: its topic's retention has passed it")
        replayed = reader.scan(
            [letter.place.partition], letter.written_at, lambda _: False
        ).replayed[letter.source]
        if as_json:
            typer.echo(orjson.dumps(as_object(letter, record, replayed)).decode())
        else:
            print_letter(letter, record, replayed)


@app.command("replay")
def replay(  # noqa: PLR0913, PLR0917 - typer makes options of them
    settings_file: SettingsFile,
    reason: Reasons = None,
    stage: Stages = None,
    since: Since = None,
    partition: Partitions = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay no more.")] = None,
    max_replays: Annotated[
        int, typer.Option(min=1, help="Leave out what was replayed so often, and failed again.")
    ] = 3,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was replayed from this place already.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Write the messages of dead letters back to the topic and partition that they came from.

    Each message is written as it was, and says in its headers where it comes from.
    """
    settings, chosen = load_for_command(settings_file), make_filter(reason, stage, since, partition)
    if not (dry_run or yes) and (as_json or not is_terminal()):
        raise SettingsError("there is nobody to ask: add --yes, or --dry-run to see what would be")
    reader = DeadLetterReader(settings, connect(settings))
    # Before it is read what was replayed already: what another replay still has open then, this
    # one puts an end to, and nobody can add to it.
    replayer = None if dry_run else Replayer(settings)
    rules = Rules(_source_topics(settings), max_replays, again, limit)
    plan = make_plan(chosen.scan(reader), rules, reader)
    if not as_json:
        print_plan(plan, dry_run=dry_run)
    if replayer is not None and plan.letters:
        if not yes:
            typer.confirm(f"replay {messages(len(plan.letters))}?", abort=True)
        write_back(plan, reader, replayer)
        if not as_json:
            console.print(f"replayed {messages(replayer.written)}", soft_wrap=True)
    if as_json:
        typer.echo(orjson.dumps(plan_as_object(plan, dry_run=dry_run)).decode())


def make_filter(
    reasons: list[str] | None,
    stages: list[str] | None,
    since: str | None,
    partitions: list[int] | None,
) -> Filter:
    """The selection by the options; raises `SettingsError` for an unknown word."""
    known_stages = {stage for stage, _ in REASONS.values()}
    for option, words, known in (
        ("--reason", reasons, set(REASONS)), ("--stage", stages, known_stages),
    ):  # fmt: skip
        for word in words or ():
            if word not in known:
                raise SettingsError(f"{option} {word} is none: {nearest(word, known)}")
    return Filter(
        frozenset(reasons or ()), frozenset(stages or ()), tuple(partitions or ()),
        None if since is None else _since_ms(since),
    )  # fmt: skip


def _since_ms(text: str) -> int:
    """A duration before now, or an ISO 8601 time, as ms since 1970."""
    try:
        ago = TypeAdapter(Milliseconds).validate_python(text)
    except ValidationError:
        pass
    else:
        return max(0, int(datetime.now(UTC).timestamp() * 1000) - ago)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"--since {text} is neither a duration nor a time: write 2h or 2026-01-31T12:00"
        ) from error


def _source_place(text: str | None) -> RecordPosition | None:
    place = None if text is None else RecordPosition.parse(text)
    if text is not None and place is None:
        raise SettingsError(f"--source {text} is no place: write TOPIC/PARTITION/OFFSET")
    return place


def _source_topics(settings: Settings) -> frozenset[str]:
    return frozenset(filter(None, (settings.events.topic, settings.labels.topic)))


def _letter_at(reader: DeadLetterReader, place: RecordPosition) -> DeadLetterRecord:
    reader.chosen_partitions([place.partition])
    record = reader.fetch(place)
    letter = None if record is None else read_letter(place.topic, place.partition, record)
    if letter is None:
        raise Stop(f"there is no dead letter at {place}: millstream dead-letters list shows where")
    return letter


def _letters_of(reader: DeadLetterReader, source: RecordPosition) -> list[DeadLetterRecord]:
    # A dead letter lies in the partition of its message.
    partitions = reader.chosen_partitions([source.partition])
    found = reader.scan(partitions, None, lambda letter: source in (letter.source, letter.origin))
    if not found.letters:
        raise Stop(f"no dead letter in {reader.topic} is of a message at {source}")
    return found.letters
