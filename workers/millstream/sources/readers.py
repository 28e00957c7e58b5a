"""Readers of records: files, stdin, River data sets and Python iterables."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from io import TextIOWrapper
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TextIO

import orjson
from river import datasets

from millstream.config.references import refuse_nul
from millstream.errors import Stop

RIVER: Final = "river:"
INTEGERS: Final = range(-(2**63), 2**64)
"""Range that orjson reads and writes as integers; it reads others as the nearest float."""
_LONGEST_INTEGER: Final = 20
"""Digits of the last of them. Python refuses to read one of more than 4,300."""
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A record of a source."""

    fields: dict[str, Any]
    label: Any
    """Separate from the fields (River); None if it is among them, or missing."""
    flat: bool
    """Its fields are columns, not yet at the paths in the settings."""


class OpenSource(NamedTuple):
    """Records, and their number where it is known."""

    rows: Iterator[Row]
    total: int | None


Source = str | PathLike[str] | Iterable[Mapping[str, Any] | tuple[Mapping[str, Any], Any]]
"""What `millstream send` reads (a .csv or .jsonl file, `river:Phishing`), dicts, or pairs of
features and label, as River's data sets give them."""


@contextmanager
def open_source(name: str, is_id: Callable[[str], bool] = lambda _: False) -> Iterator[OpenSource]:
    """Open `river:NAME`, `-` (JSON Lines on stdin), or a file `*.csv` or `*.jsonl`.

    `is_id` says of a column of CSV whether it holds ids, which are not read as floats or booleans.
    Raises Stop where the source cannot be read.
    """
    if name.startswith(RIVER):
        yield _river(name.removeprefix(RIVER))
        return
    if name == "-":
        yield OpenSource(_json_lines(sys.stdin.buffer, "stdin"), None)
        return
    refuse_nul(name, "the source")
    suffix = Path(name).suffix.lower()
    if suffix not in {".csv", ".jsonl", ".ndjson", ".json"}:
        raise Stop(
            f"what kind of file is {name}? Its name should end in .csv or .jsonl; other sources "
            "are - (JSON Lines on stdin) and a River data set such as river:Phishing"
        )
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Stop(f"cannot read {name}: {error.strerror}") from error
    with file:
        if suffix != ".csv":
            yield OpenSource(_json_lines(file, name), None)
            return
        try:
            # Spreadsheets put a byte order mark before their CSV.
            text = TextIOWrapper(file, encoding="utf-8-sig", newline="")
            yield OpenSource(_csv(text, name, is_id), None)
        except UnicodeDecodeError as error:
            raise Stop(f"cannot read {name}: it is not UTF-8 text") from error


def read_rows(source: Source, is_id: Callable[[str], bool] = lambda _: False) -> Iterator[Row]:
    """The records of a source; `is_id` as in `open_source`. Raises Stop if it cannot be read."""
    if isinstance(source, str | PathLike):
        with open_source(fspath(source), is_id) as opened:
            yield from opened.rows
        return
    if isinstance(source, Mapping | bytes) or not isinstance(source, Iterable):
        raise Stop(
            "a source is a file, or an iterable of dicts or of pairs of features and label, and "
            f"no {type(source).__name__}: put a single one into a list"
        )
    for number, each in enumerate(source, 1):
        match each:
            case (Mapping() as features, label) if isinstance(each, tuple):
                yield Row(dict(features), label, flat=True)
            case Mapping():
                yield Row(own_fields(each), None, flat=False)  # the mapper moves fields about
            case _:
                raise Stop(
                    f"record {number} is a {type(each).__name__}, and neither a dict nor a pair of "
                    'features and label; of a pandas table, give df.to_dict("records")'
                )


def own_fields(event: object) -> dict[str, Any]:
    """A copy of the fields of an event. Raises Stop if it has none."""
    if not isinstance(event, Mapping):
        raise Stop(f"an event is a dict of its fields, or bytes, and no {type(event).__name__}")
    return deepcopy(dict(event))


def _csv(file: TextIO, name: str, is_id: Callable[[str], bool]) -> Iterator[Row]:
    lines = csv.DictReader(file, strict=True)
    try:
        columns = _columns(lines, name)
        readers = {column: _id_cell if is_id(column) else _cell for column in columns}
        for line in lines:
            if None in line or None in line.values():
                raise Stop(
                    f"{name}, line {lines.line_num}: {len(columns)} columns in the first line, but "
                    "another number here"
                )
            yield Row({c: readers[c](text) for c, text in line.items()}, None, flat=True)
    except csv.Error as error:
        raise Stop(f"{name}, after line {lines.line_num}: not CSV ({error})") from error


def _columns(lines: "csv.DictReader[str]", name: str) -> list[str]:
    """Names of the columns; raises Stop where they cannot tell the columns apart."""
    columns = list(lines.fieldnames or ())
    if not columns:
        raise Stop(f"{name} is empty: its first line has to name the columns")
    for number, column in enumerate(columns, 1):
        if not column.strip():
            raise Stop(f"{name}, line 1: column {number} has no name: give it one")
        if columns.index(column) < number - 1:
            raise Stop(f"{name}, line 1: two columns are named {column}: rename one of them")
    return columns


def _id_cell(text: str) -> int | str | None:
    """Id in a cell: an integer where it is written as JSON would, else text, and never a float."""
    if len(text) > _LONGEST_INTEGER or not (text.isdecimal() and text.isascii()):
        return text or None
    value = int(text)
    return value if value in INTEGERS and str(value) == text else text


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


def _json_lines(file: BinaryIO, name: str) -> Iterator[Row]:
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
            if _LONG_NUMBER.search(line):
                fields = json.loads(line)  # which rounds no integer
        except orjson.JSONDecodeError as error:
            why = "not UTF-8 text" if "UTF-8" in error.msg else f"not JSON ({error})"
            raise Stop(f"{name}, line {number}: {why}") from error
        except RecursionError as error:
            raise Stop(f"{name}, line {number}: nested too deep") from error
        if not isinstance(fields, dict):
            raise Stop(f"{name}, line {number}: JSON, but not an object")
        yield Row(fields, None, flat=False)


def _river(name: str) -> OpenSource:
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
    return OpenSource((Row(dict(x), y, flat=True) for x, y in dataset), dataset.n_samples)


def _ships_with_river(dataset: object) -> bool:
    if not isinstance(dataset, type) or issubclass(dataset, datasets.base.RemoteDataset):
        return False
    return issubclass(dataset, datasets.base.FileDataset)
