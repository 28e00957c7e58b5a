"""`millstream snapshots`: lists, verifies, exports and deletes snapshots."""

import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final

import joblib
import orjson
import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from rich.text import Text

from millstream.cli.console import (
    Json,
    SettingsFile,
    console,
    duration,
    is_terminal,
    load_for_command,
    size,
)
from millstream.cli.read_only import looking
from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.core.spec import Milliseconds
from millstream.errors import EXIT_FAILURE, SettingsError, Stop
from millstream.kafka.admin import connect
from millstream.operations.snapshot_catalog import CatalogEntry, SnapshotCatalog

app = typer.Typer(
    name="snapshots", help="List, verify, export and delete snapshots.", no_args_is_help=True
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="Those of these names, as listed.")
]
_GOOD: Final = "good"
_OTHER: Final = "intact, of another model"
_GONE: Final = "gone meanwhile"
_NOT_BAD: Final = frozenset({_GOOD, _OTHER, _GONE})


class Format(Enum):
    """The formats of `export`."""

    JOBLIB = "joblib"
    SNAPSHOT = "snapshot"


@app.command("list")
def list_snapshots(settings_file: SettingsFile, as_json: Json = False) -> None:
    """List the snapshots of each partition, the newest first."""
    with _shelf(settings_file) as shelf:
        stored = shelf.stored()
    if as_json:
        for each in stored:
            typer.echo(orjson.dumps(_as_object(each)).decode())
    elif stored:
        console.print(_table(stored))
    else:
        console.print("there are no snapshots yet")


@app.command("verify")
def verify(settings_file: SettingsFile, names: Names = None, as_json: Json = False) -> None:
    """Open snapshots and prove them as a restore does: checksums, digest of the weights, probe.

    Exit code 1 if one is bad. One of another model than the settings define is only looked at from
    outside (is it what was written?), and no restore would take it.
    """
    with _shelf(settings_file) as shelf:
        chosen = [shelf.named(name) for name in names] if names else shelf.stored()
        verdicts = [(each, _verdict(shelf, each)) for each in chosen]
    for each, verdict in verdicts:
        if as_json:
            good = verdict in _NOT_BAD
            line = {**_as_object(each), "good": good, "verdict": verdict}
            typer.echo(orjson.dumps(line).decode())
        else:
            place = f"partition {each.pointer.partition}  {each.pointer.name}  "
            console.print(Text(place + verdict), soft_wrap=True)
    bad = sum(verdict not in _NOT_BAD for _, verdict in verdicts)
    if not as_json:
        console.print(f"{_snapshots(len(verdicts))}, {bad} bad" if verdicts else "no snapshots yet")
    if bad:
        raise typer.Exit(EXIT_FAILURE)


@app.command("export")
def export(
    settings_file: SettingsFile,
    name: Annotated[str, typer.Argument(help="Which, as listed.")],
    file: Annotated[Path, typer.Argument(help="Where to; has to be new unless --force.")],
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="joblib: the model itself, for joblib.load; snapshot: the bytes as stored.",
        ),
    ] = Format.JOBLIB,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: Json = False,
) -> None:
    """Write the model of a snapshot, once it is proved, into a file.

    `joblib` holds the River model or scikit-learn estimator; what loads it needs the same
    libraries. With the SHA-256 that is shown, another app can start from it (model.weights).
    """
    if file.exists() and not force:
        raise SettingsError(f"{file} is there already: add --force to replace it")
    with _shelf(settings_file) as shelf:
        stored = shelf.named(name)
        try:
            content = shelf.blob(stored) if kind is Format.SNAPSHOT else _dumped(shelf, stored)
        except BadSnapshot as bad:
            raise Stop(f"snapshot {name} cannot be exported: {bad}") from bad
    # Beside it and renamed, so that nobody loads half a model.
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Stop(f"{file} cannot be written: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if as_json:
        line = {"file": str(file), "format": kind.value, "bytes": len(content), "sha256": digest,
                **_as_object(stored)}  # fmt: skip
        typer.echo(orjson.dumps(line).decode())
        return
    console.print(
        f"{file}: {size(len(content))}, {stored.pointer.learned:,} examples learned, "
        f"sha256 {digest}",
        soft_wrap=True, markup=False,
    )  # fmt: skip


@app.command("delete")
def delete(
    settings_file: SettingsFile,
    names: Names = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Those older than this, such as 30d.")
    ] = None,
    all_but: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="All but the newest N of each partition."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete snapshots, by name, by age or all but some; their pointers first.

    A snapshot only shortens a restore, as long as the logs reach back as far as the next one.
    """
    if sum(bool(each is not None and each != []) for each in (names, older_than, all_but)) != 1:
        raise SettingsError("say which: NAME..., --older-than DURATION, or --all-but N")
    if not yes and (as_json or not is_terminal()):
        raise SettingsError("there is nobody to ask: add --yes")
    oldest = None if older_than is None else _now() - _duration(older_than)
    with _shelf(settings_file) as shelf:
        stored = shelf.stored()
        if names:
            chosen = [shelf.named(name) for name in dict.fromkeys(names)]
        else:
            chosen = _chosen(stored, oldest, all_but)
        if not as_json:
            _print_chosen(stored, chosen)
        if chosen and not yes:
            typer.confirm(f"delete {_snapshots(len(chosen))}?", abort=True)
        shelf.delete(chosen)
    if as_json:
        for each in chosen:
            typer.echo(orjson.dumps(_as_object(each)).decode())
    elif chosen:
        console.print(f"deleted {_snapshots(len(chosen))}")


@contextmanager
def _shelf(path: Path) -> Generator[SnapshotCatalog]:
    settings = load_for_command(path)
    admin = connect(settings)
    context = looking(path, settings, admin)
    try:
        yield SnapshotCatalog(context)
    finally:
        context.close()


def _verdict(shelf: SnapshotCatalog, stored: CatalogEntry) -> str:
    try:
        shelf.check(stored)
    except BadSnapshot as bad:
        return f"bad: {bad}" if shelf.still_there(stored) else _GONE
    return _GOOD if stored.current else _OTHER


def _dumped(shelf: SnapshotCatalog, stored: CatalogEntry) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(shelf.learner(stored).state.model, buffer)
    return buffer.getvalue()


def _chosen(
    stored: list[CatalogEntry], oldest: int | None, all_but: int | None
) -> list[CatalogEntry]:
    if oldest is not None:
        return [each for each in stored if each.pointer.created_at < oldest]
    seen: dict[int, int] = defaultdict(int)
    chosen = []
    for each in stored:
        seen[each.pointer.partition] += 1
        if seen[each.pointer.partition] > (all_but or 0):
            chosen.append(each)
    return chosen


def _print_chosen(stored: list[CatalogEntry], chosen: list[CatalogEntry]) -> None:
    if not chosen:
        console.print("there is none such")
        return
    console.print(_table(chosen))
    kept = {each.pointer.partition for each in stored if each not in chosen and each.current}
    bare = sorted({each.pointer.partition for each in chosen if each.current} - kept)
    if bare:
        console.print(
            f"partitions without a snapshot then: {', '.join(map(str, bare))}; a restore reads "
            "their logs from the start, which have to be there still",
            soft_wrap=True,
        )


def _table(stored: list[CatalogEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("partition", "name", "age", "learned", "events", "labels", "size", "store",
                  "model"):  # fmt: skip
        right = title in {"partition", "age", "learned", "events", "labels", "size"}
        # A name is there to be copied.
        table.add_column(title, justify="right" if right else "left", overflow="fold",
                         no_wrap=title == "name")  # fmt: skip
    for pointer, current in stored:
        cells = (
            str(pointer.partition),
            pointer.name,
            duration(_age(pointer.created_at)),
            f"{pointer.learned:,}",
            *(f"{pointer.positions[s]:,}" if s in pointer.positions else "-"
              for s in ("events", "labels")),
            size(pointer.bytes),
            pointer.store,
            pointer.model_version if current else f"{pointer.model_version} (another)",
        )  # fmt: skip
        table.add_row(*map(Text, cells))
    return table


def _as_object(stored: CatalogEntry) -> dict[str, Any]:
    pointer = stored.pointer
    return {
        **pointer.model_dump(exclude={"kind", "chunks"}),
        "age": _age(pointer.created_at),
        "current": stored.current,
    }


def _snapshots(count: int) -> str:
    return f"{count:,} snapshot{'' if count == 1 else 's'}"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _age(created_at: int) -> int:
    return max(0, _now() - created_at)


def _duration(text: str) -> int:
    try:
        return TypeAdapter(Milliseconds).validate_python(text)
    except ValidationError as error:
        raise SettingsError(
            f"--older-than {text} is no duration: write a number and a unit, such as 30d"
        ) from error
