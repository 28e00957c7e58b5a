"""What docs/api.md and the docstrings of the public API show is run as it stands there."""

import doctest
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import millstream
from millstream import (
    Memory,
    RejectedRecord,
    Report,
    Worker,
    evaluate,
    load_settings,
    make_settings,
)
from millstream.core.models import base_learner

pytest_plugins = ["millstream.testing"]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
OPTIONS = doctest.ELLIPSIS


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def failures(found: list[doctest.DocTest]) -> int:
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for each in found:
        runner.run(each, clear_globs=False)
    return runner.summarize(verbose=False).failed


def test_the_page_does_what_it_says() -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    sessions = [block for block in blocks if block.startswith(">>>")]
    parser = doctest.DocTestParser()
    tests = [parser.get_doctest(block, {}, "docs/api.md", None, None) for block in sessions]
    for each in tests:
        each.globs = names
    assert len(tests) >= 8
    assert failures(tests) == 0


def test_the_page_s_own_test_passes_with_the_settings_of_the_readme(
    millstream_app: Callable[..., Memory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"```yaml\n(app: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = re.findall(r"```python\n(import pytest\n.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / "millstream.yaml").write_text(found[1])
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - the page is ours
    names["test_payments_of_children_are_refused"](millstream_app)


def test_each_block_of_the_page_is_a_session_or_a_test() -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        assert block.startswith(">>>") or "\ndef test_" in block


def test_the_page_tells_of_every_public_name() -> None:
    named = set(re.findall(r"\w+", PAGE))
    types = {
        "Features",
        "Kind",
        "Label",
        "Prediction",
        "RejectedRecord",
        "Codec",
        "Report",
        "Source",
    }
    assert set(millstream.__all__) - types - {"__version__"} <= named
    for name in re.findall(r"^>>> from millstream import (.+)$", PAGE, re.MULTILINE):
        assert set(name.split(", ")) <= set(millstream.__all__)


def test_settings_on_the_page_are_settings() -> None:
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        document = {
            "app": "a",
            "kafka": {"bootstrap.servers": "localhost:9092"},
            "events": {"topic": "e"},
            "model": {"river": "linear_model.LogisticRegression()"},
        }
        make_settings({**document, **yaml.safe_load(text)})


@pytest.mark.parametrize(
    "documented",
    [
        Memory,
        RejectedRecord,
        Report,
        Worker,
        base_learner.BaseLearner,
        evaluate,
        load_settings,
        make_settings,
    ],
)
def test_docstrings_do_what_they_say(documented: object) -> None:
    found = doctest.DocTestFinder(recurse=False).find(
        documented,
        globs={name: getattr(millstream, name) for name in millstream.__all__} | vars(base_learner),
    )
    assert any(each.examples for each in found)
    assert failures(found) == 0
