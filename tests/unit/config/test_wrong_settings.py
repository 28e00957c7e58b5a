"""A wrong settings file is a clear sentence for each mistake, and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import load_settings
from millstream.errors import SettingsError
from tests.conftest import Millstream
from tests.support.wrong_settings import FILES, GOOD, MODELS, Wrong, changed

NOT_FOR_USERS = (
    "Traceback", "validation", "Input should", "input should", "type=", "pydantic", "[key]",
    "function-", "constrained", "EnvSettingsSource", "hunter2",
)  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def assert_clear(said: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in said
    for word in NOT_FOR_USERS:
        assert word not in said
    assert all(len(line) < 500 for line in said.splitlines())


def test_the_file_that_all_others_are_made_of_is_right(tmp_path: Path) -> None:
    learner_factory(load_settings(write(tmp_path, GOOD)))


@pytest.mark.parametrize("wrong", FILES, ids=lambda wrong: wrong.name)
def test_each_mistake_is_one_sentence_that_begins_with_the_file(
    tmp_path: Path, wrong: Wrong
) -> None:
    path = write(tmp_path, wrong.text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    said = str(caught.value)
    assert_clear(said, wrong.words)
    assert all(line.startswith(f"{path}: ") for line in said.splitlines())


@pytest.mark.parametrize("wrong", MODELS, ids=lambda wrong: wrong.name)
def test_a_wrong_model_is_one_sentence_that_names_the_setting(tmp_path: Path, wrong: Wrong) -> None:
    settings = load_settings(write(tmp_path, wrong.text))
    with pytest.raises(SettingsError) as caught:
        learner_factory(settings)
    assert_clear(str(caught.value), wrong.words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [*FILES, *MODELS], ids=lambda wrong: wrong.name)
def test_a_command_says_it_on_stderr_and_ends_with_exit_code_2(
    tmp_path: Path,
    millstream: Millstream,
    wrong: Wrong,
) -> None:
    result = millstream("check", write(tmp_path, wrong.text))
    assert result.exit_code == 2
    assert result.err.startswith("millstream: ")
    assert_clear(result.err, wrong.words)
    assert result.out == ""


@pytest.mark.parametrize("wrong", [FILES[0], MODELS[0]], ids=lambda wrong: wrong.name)
def test_a_program_of_its_own_says_the_same(tmp_path: Path, wrong: Wrong) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "millstream", "run", write(tmp_path, wrong.text)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert_clear(ended.stderr, wrong.words)


def test_several_mistakes_are_a_line_each(tmp_path: Path) -> None:
    path = write(tmp_path, changed(app="my app", http={"port": "x"}, log={"level": "loud"}))
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}: ").split()[0] for line in lines] == [
        "app", "http.port", "log.level",
    ]  # fmt: skip


def test_sections_that_do_not_fit_together_are_a_line_each_too(tmp_path: Path) -> None:
    text = changed(
        kafka={"acks": 1}, events={"topic": "sites", "features": ["a", "a"], "label": "y"}
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_that_is_no_utf_8_or_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"app: \xff")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load_settings(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)
    with pytest.raises(SettingsError, match=r"a\\0b holds a NUL character"):
        load_settings(tmp_path / "a\0b")
