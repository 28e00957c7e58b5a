"""Where `millstream send` takes its records from: a file, stdin, or a River data set."""

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import orjson
from river import datasets

from millstream.errors import Stop

RIVER = "river:"


class Row(NamedTuple):
    """A record of a source."""

    fields: dict[str, Any]
    label: Any
    """Known apart from the fields (River); None where it is among them, or missing."""
    flat: bool
    """Its fields are columns, still to be put at the paths that the settings name."""


class Source(NamedTuple):
    """Records, and how many there will be, where that is known."""

    rows: Iterator[Row]
    total: int | None


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open `river:NAME`, `-` (JSON Lines on stdin), or a file `*.csv` or `*.jsonl`.

    Raises Stop where that cannot be read.
    """
    if name.startswith(RIVER):
        yield _river(name.removeprefix(RIVER))
        return
    if name == "-":
        yield Source(_json_lines(sys.stdin, "stdin"), None)
        return
    read = _reader(name)
    try:
        # Spreadsheets put a byte order mark before their CSV.
        file = Path(name).open(encoding="utf-8-sig", newline="")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise Stop(f"cannot read {name}: {error.strerror}") from error
    with file:
        try:
            yield Source(read(file, name), None)
        except UnicodeDecodeError as error:
            raise Stop(f"cannot read {name}: it is not UTF-8 text") from error


def _reader(name: str) -> Callable[[TextIO, str], Iterator[Row]]:
    suffix = Path(name).suffix.lower()
    if suffix == ".csv":
        return _csv
    if suffix in {".jsonl", ".ndjson", ".json"}:
        return _json_lines
    raise Stop(
        f"what kind of file is {name}? Its name should end in .csv or .jsonl; other sources are - "
        "(JSON Lines on stdin) and a River data set such as river:Phishing"
    )


def _csv(file: TextIO, name: str) -> Iterator[Row]:
    lines = csv.DictReader(file, strict=True)
    try:
        for line in lines:
            if None in line or None in line.values():
                raise Stop(
                    f"{name}, line {lines.line_num}: {len(lines.fieldnames or ())} columns in the "
                    "first line, but another number here"
                )
            yield Row({column: _cell(text) for column, text in line.items()}, None, flat=True)
    except csv.Error as error:
        raise Stop(f"{name}, after line {lines.line_num}: not CSV ({error})") from error


def _cell(text: str) -> bool | int | float | str | None:
    """Value of a cell: nothing, a boolean, a number as JSON writes one, else text."""
    if text == "":
        return None
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, int | float) else text


def _json_lines(file: TextIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Stop(f"{name}, line {number}: not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise Stop(f"{name}, line {number}: JSON, but not an object")
        yield Row(fields, None, flat=False)


def _river(name: str) -> Source:
    shipped = {
        known: getattr(datasets, known)()
        for known in datasets.__all__
        if _ships_with_river(getattr(datasets, known))
    }
    if name not in shipped:
        known = name in datasets.__all__
        why = "would have to be downloaded" if known else "is not one of River's data sets"
        raise Stop(f"{name} {why}; those that ship with River: {', '.join(sorted(shipped))}")
    dataset = shipped[name]
    if dataset.task.startswith("Multi-output"):
        raise Stop(f"{name} has several labels per event, and Millstream learns one")
    return Source((Row(dict(x), y, flat=True) for x, y in dataset), dataset.n_samples)


def _ships_with_river(dataset: object) -> bool:
    if not isinstance(dataset, type) or issubclass(dataset, datasets.base.RemoteDataset):
        return False
    return issubclass(dataset, datasets.base.FileDataset)
