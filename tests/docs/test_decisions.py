"""Decision records have their parts and stand in the index; the glossary stays short."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = sorted((DOCS / "adr").glob("[0-9]*.md"))


def test_the_index_lists_every_record_under_its_title() -> None:
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\(([\w.-]+)\) \| (.+) \|$", index, re.MULTILINE)
    titles = [re.findall(r"\A# (\d{4}) (.+)\n", path.read_text("utf-8"))[0] for path in RECORDS]
    assert listed == [
        (number, path.name, title) for path, (number, title) in zip(RECORDS, titles, strict=True)
    ]
    assert [int(number) for number, _ in titles] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_four_parts_on_one_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences", "Figures"]
    assert len(text.splitlines()) <= 60


def test_the_glossary_has_at_most_thirty_words_in_order() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.MULTILINE)
    assert 10 < len(words) <= 30
    assert words == sorted(set(words))
