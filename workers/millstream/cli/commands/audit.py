"""`millstream audit`: recomputes predictions and compares them with those written."""

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.markup import escape
from rich.text import Text

from millstream.artifacts.loader import why_not_reproducible
from millstream.cli.console import Json, SettingsFile, console, load_for_command
from millstream.cli.dead_letter_tables import printable
from millstream.cli.read_only import looking
from millstream.core.records.audit import Audited, RecordedPrediction, Verdict
from millstream.errors import EXIT_FAILURE, SettingsError
from millstream.kafka.admin import connect
from millstream.operations.audit import Auditor
from millstream.operations.prediction_search import PredictionSearch, WantedPrediction

SHOWN: Final = 20
"""More predictions than these are not printed one by one, but for those that are not identical."""
_COLOURS: Final[dict[Verdict, str]] = {
    "identical": "green", "rounded": "green", "different": "bold red", "unknown": "yellow",
}  # fmt: skip
_MEANING: Final[dict[Verdict, str]] = {
    "identical": "identical",
    "rounded": "equal but for the rounding of another batch",
    "different": "DIFFERENT",
    "unknown": "cannot be made again",
}
_SOURCE: Final = re.compile(r"(\d{1,9})/(\d{1,18})")
_STRETCH: Final = re.compile(r"(\d{1,9})/(\d{1,18})\.\.(\d{1,18})")

Offsets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PARTITION/FROM..TO",
        help="Predictions of events from FROM to before TO; may be repeated.",
    ),
]


def audit(
    settings_file: SettingsFile,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Predictions of these ids.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTITION/OFFSET",
            help="The prediction of the event that lies there; may be repeated.",
        ),
    ] = None,
    offsets: Offsets = None,
    ids_file: Annotated[Path | None, typer.Option(help="A file with an id a line.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All predictions of an id, rather than the newest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make predictions again from snapshots and logs, and compare them bit for bit.

    Exit code 1 if one is different, or cannot be made again, or is not there.
    """
    settings = load_for_command(settings_file)
    names = {*(ids or ()), *_ids_of(ids_file)}
    sources = _sources(source or (), offsets or ())
    if not (names or sources):
        raise SettingsError(
            "say which predictions: ID..., --ids-file, --source PARTITION/OFFSET, or --offsets "
            "PARTITION/FROM..TO"
        )
    admin = connect(settings)
    context = looking(settings_file, settings, admin)
    try:
        count = context.topics.partitions
        if sources and max(sources) >= count:
            raise SettingsError(
                f"{settings.events.topic} has no partition {max(sources)}: its partitions are 0 to "
                f"{count - 1}"
            )
        found = PredictionSearch(settings, count).find(WantedPrediction(names, sources, every))
        missing = _missing(found, names, sources)
        auditor = Auditor(context)
        audited = auditor.audit(found)
    finally:
        context.close()
    (_print_json if as_json else _print)(audited, missing)
    for name, why in auditor.passed_over.items():
        typer.echo(f"millstream: snapshot {name} was passed over: {why}", err=True)
    good = {"identical", "rounded"}
    bad = any(each.verdict not in good for each in audited)
    if any(each.verdict == "different" for each in audited):
        for sentence in why_not_reproducible(settings):
            typer.echo(f"millstream: {sentence}", err=True)
    if bad or missing or not audited:
        raise typer.Exit(EXIT_FAILURE)


def _ids_of(file: Path | None) -> set[str]:
    if file is None:
        return set()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"--ids-file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--ids-file {file} is not text in UTF-8") from error
    ids = {line.strip() for line in lines} - {""}
    if not ids:
        raise SettingsError(f"--ids-file {file} holds no id")
    return ids


def _sources(
    sources: list[str] | tuple[str, ...], offsets: list[str] | tuple[str, ...]
) -> dict[int, list[tuple[int, int]]]:
    """Partition to ranges of offsets."""
    offset_ranges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for text in sources:
        place = _SOURCE.fullmatch(text)
        if place is None:
            raise SettingsError(f"--source {text} is no place: write PARTITION/OFFSET, such as 0/7")
        offset_ranges[int(place[1])].append((int(place[2]), int(place[2]) + 1))
    for text in offsets:
        place = _STRETCH.fullmatch(text)
        if place is None or int(place[2]) >= int(place[3]):
            raise SettingsError(
                f"--offsets {text} is no stretch: write PARTITION/FROM..TO, such as 0/100..200"
            )
        offset_ranges[int(place[1])].append((int(place[2]), int(place[3])))
    return dict(offset_ranges)


def _missing(
    found: list[RecordedPrediction], names: set[str], sources: dict[int, list[tuple[int, int]]]
) -> list[str]:
    """Requests without a prediction; one is enough for a range."""
    there = {str(each.id) for each in found}
    missing = [f"id {name}" for name in sorted(names - there)]
    for partition, offset_ranges in sources.items():
        answered = {each.source for each in found if each.partition == partition}
        missing += [
            f"event {partition}/{start}" if end == start + 1
            else f"events {partition}/{start}..{end}"
            for start, end in offset_ranges
            if not any(start <= each < end for each in answered)
        ]  # fmt: skip
    return missing


def _print(audited: list[Audited], missing: list[str]) -> None:
    for each in audited:
        if len(audited) <= SHOWN or each.verdict not in {"identical", "rounded"}:
            console.print(_line(each), soft_wrap=True)
    for what in missing:
        console.print(f"[yellow]no prediction of {escape(printable(what))}[/]", soft_wrap=True)
    counts = Counter(each.verdict for each in audited)
    words = [f"{counts[verdict]:,} {_MEANING[verdict]}" for verdict in _MEANING if counts[verdict]]
    total = f"{len(audited):,} prediction{'' if len(audited) == 1 else 's'}"
    console.print(f"{total}: {', '.join(words)}" if words else "nothing to make again")


def _line(each: Audited) -> Text:
    recorded = each.recorded
    place = f"event {recorded.partition}/{recorded.source}"
    line = Text.assemble(
        (_MEANING[each.verdict], _COLOURS[each.verdict]),
        f"  {printable(str(recorded.id))} ",
        (f"{place}, version {recorded.version}, learned {recorded.learned:,}", "dim"),
    )
    if each.answer is not None:
        start = f"snapshot {each.snapshot}" if each.snapshot else "the beginning"
        line.append(f", from {start}", "dim")
    if each.why:
        line.append(f"\n  {printable(each.why)}")
    return line


def _print_json(audited: list[Audited], missing: list[str]) -> None:
    for each in audited:
        typer.echo(orjson.dumps(as_object(each)).decode())
    for what in missing:
        typer.echo(orjson.dumps({"verdict": "missing", "what": what}).decode())


def as_object(each: Audited) -> dict[str, Any]:
    """The verdict on one prediction, for JSON."""
    recorded = each.recorded
    return {
        "id": recorded.id,
        "verdict": each.verdict,
        "why": each.why or None,
        "source": {"partition": recorded.partition, "offset": recorded.source},
        "offset": recorded.offset,
        "predicted_at": recorded.predicted_at,
        "model": {"version": recorded.version, "learned": recorded.learned},
        "recorded": recorded.answer,
        "again": None if each.answer is None else {**each.answer, "learned": each.learned},
        "snapshot": each.snapshot,
    }
