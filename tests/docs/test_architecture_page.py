"""docs/architecture.md agrees with the tree: files, packages, layers, length of walks."""

import re
from pathlib import Path

import pytest

from tests.repository.test_layers import CORE_LAYERS, LAYERS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workers" / "millstream"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w./-]+\.py)`")
LONGEST = {
    "a message to the weights and the published prediction": 10,
    "a delayed label to `learn_one`": 11,
    "a settings value to the place where it acts": 9,
    "a snapshot out": 11,
    "a snapshot back": 10,
}
"""Walk to how many files a reader may have to open for it."""


def walks(page: str) -> dict[str, list[str]]:
    """Each walk with the files that it names, once each and in their order."""
    parts = re.split(r"^### Walk \d: (.+)$", page, flags=re.MULTILINE)[1:]
    return {
        title: list(dict.fromkeys(FILE.findall(re.split(r"^##+ ", text, flags=re.MULTILINE)[0])))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def missing(page: str) -> list[str]:
    """The files that a page names and that are not there."""
    named = sorted(set(FILE.findall(page)))
    return [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())]


def test_every_file_that_the_page_names_exists() -> None:
    assert len(FILE.findall(PAGE)) > 40
    assert missing(PAGE) == []


def test_a_file_that_is_gone_is_found() -> None:
    assert missing("see `core/spec.py`, `core/shard.py` and `tests/conftest.py`") == [
        "core/shard.py"
    ]


def test_the_page_has_all_five_walks() -> None:
    assert list(walks(PAGE)) == list(LONGEST)


@pytest.mark.parametrize("walk", LONGEST)
def test_a_walk_is_short_enough(walk: str) -> None:
    assert 5 <= len(walks(PAGE)[walk]) <= LONGEST[walk]


def test_each_package_is_named_once_and_no_other() -> None:
    table = re.findall(r"^\| `([\w./]+)/?` \|", PAGE, re.MULTILINE)
    named = [name.rstrip("/") for name in table if name != "millstream"]
    packages = {
        str(path.parent.relative_to(PACKAGE))
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    }
    assert sorted(named) == sorted(packages)


def test_the_layers_are_those_that_are_enforced() -> None:
    shown = [
        tuple(tuple(line.split(" | ")) for line in block.strip().splitlines())
        for block in re.findall(r"```layers\n(.*?)```", PAGE, re.DOTALL)
    ]
    assert shown == [LAYERS, CORE_LAYERS]
