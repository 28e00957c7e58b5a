"""What `send` can read, and what it says of what it cannot."""

import io
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import Stop
from millstream.sources.readers import Row, open_source


def rows(name: object) -> list[Row]:
    with open_source(str(name)) as source:
        return list(source.rows)


def test_csv_cells_become_numbers_booleans_or_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        '\ufeffa,b,c,d,e,f,g,h\n1,-2.5e3,true,False,007,NaN,"x, y",\n', encoding="utf-8"
    )
    (row,) = rows(path)
    expected: dict[str, Any] = {"a": 1, "b": -2500.0, "c": True, "d": False}
    expected |= {"e": "007", "f": "NaN", "g": "x, y", "h": None}
    assert row == Row(expected, None, flat=True)


def test_an_id_of_thousands_of_digits_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for digits in ("9" * 5_000, "18446744073709551616"):
        path.write_text(f"id\n{digits}\n18446744073709551615\n", encoding="utf-8")
        with open_source(str(path), lambda column: column == "id") as source:
            assert [row.fields["id"] for row in source.rows] == [digits, 2**64 - 1]


def test_json_lines_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": {"b": 1}}\n\n{"a": null}\n', encoding="utf-8")
    assert [row.fields for row in rows(path)] == [{"a": {"b": 1}}, {"a": None}]


def test_a_dash_reads_json_lines_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b'{"a": 1}\n')
    assert rows("-") == [Row({"a": 1}, None, flat=False)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{}\n{"a": "\xff"}\n', "stdin, line 2: not UTF-8 text"),
        (b"[" * 2_000 + b"]" * 2_000, "stdin, line 1: not JSON .*depth"),
        (b'{"n": %d, "a":' % 2**70 + b"[" * 1_000 + b"]" * 1_000 + b"}", "line 1: nested too deep"),
    ],
)
def test_a_broken_line_on_stdin_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    feed(monkeypatch, content)
    with pytest.raises(Stop, match=sentence):
        rows("-")


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_an_integer_beyond_64_bits_is_not_rounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": {2**70}, "b": 1.5, "c": {2**64 - 1}}}\n', encoding="utf-8")
    assert rows(path)[0].fields == {"a": 2**70, "b": 1.5, "c": 2**64 - 1}


def test_an_id_of_csv_is_an_integer_or_else_the_text_that_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ids = ["7", "007", "1e5", "1.50", "true", "-0", str(2**64 - 1), str(2**64), "٣", ""]
    path.write_text("id,x\n" + "".join(f"{each},1e5\n" for each in ids), encoding="utf-8")
    with open_source(str(path), lambda column: column == "id") as source:
        found = [(row.fields["id"], row.fields["x"]) for row in source.rows]
    expected = [7, "007", "1e5", "1.50", "true", "-0", 2**64 - 1, str(2**64), "٣", None]
    assert found == [(each, 100_000.0) for each in expected]
    assert type(found[0][0]) is int


@pytest.mark.parametrize(("name", "size"), [("Phishing", 1250), ("TrumpApproval", 1001)])
def test_a_river_data_set_that_ships_with_river_knows_its_size(name: str, size: int) -> None:
    with open_source(f"river:{name}") as source:
        assert source.total == size
        assert len(list(source.rows)) == size


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "river:Elec2",
            "Elec2 would have to be downloaded; those that ship with River: .*Phishing",
        ),
        ("river:Phising", "Phising is not one of River's data sets"),
        ("river:base", "base would have|base is not"),
        ("river:__class__", "is not one of River's data sets"),
        ("river:Yeast", "several labels"),
        ("a.parquet", "what kind of file is a.parquet"),
        ("no-such.csv", "cannot read no-such.csv: No such file"),
        ("a\0b.csv", r"the source: a\\0b.csv holds a NUL character"),
    ],
)
def test_a_source_that_cannot_be_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(Stop, match=sentence):
        rows(name)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"a,b\n1\n", "a.csv, line 2: 2 columns"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv, line 2: 2 columns"),
        ("a.csv", b'a\n"x"y\n', "a.csv, after line 1: not CSV"),
        ("a.csv", b"a\n\xff\n", "a.csv: it is not UTF-8"),
        ("a.csv", b"", "a.csv is empty: its first line has to name the columns"),
        ("a.csv", b"a,b,a\n1,2,3\n", "a.csv, line 1: two columns are named a"),
        ("a.csv", b"a, ,c\n1,2,3\n", "a.csv, line 1: column 2 has no name"),
        ("a.jsonl", b'{}\n{"a": "\xff"}\n', "a.jsonl, line 2: not UTF-8 text"),
        ("a.jsonl", b"{}\n{\n", "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1: JSON, but not an object"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Stop, match=sentence):
        rows(path)
