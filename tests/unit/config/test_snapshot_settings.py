"""The key that signs snapshots, and where they go."""

from pathlib import Path
from typing import Any

import pytest

from millstream.config.settings import Settings, load_settings
from millstream.errors import SettingsError
from tests.support.wrong_settings import changed

KEY = "of-Aladdin-and-his-lamp"


def load(folder: Path, **snapshots: Any) -> Settings:
    path = folder / "settings.yaml"
    path.write_text(changed(snapshots=snapshots))
    return load_settings(path)


@pytest.mark.parametrize("key", [KEY, "1234567890123456", "[0123456789abcdef", "ключ-от-всех"])
def test_the_key_comes_from_settings_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    (tmp_path / "key").write_text(f"{key}\n", encoding="utf-8")
    assert load(tmp_path, key=key).snapshots.key_bytes == key.encode()
    assert load(tmp_path, key={"file": "key"}).snapshots.key_bytes == key.encode()
    monkeypatch.setenv("MILLSTREAM_SNAPSHOTS__KEY", key)
    assert load(tmp_path).snapshots.key_bytes == key.encode()
    monkeypatch.delenv("MILLSTREAM_SNAPSHOTS__KEY")
    monkeypatch.setenv("MILLSTREAM_SNAPSHOTS__KEY_FILE", str(tmp_path / "key"))
    assert load(tmp_path, key={"file": "not there"}).snapshots.key_bytes == key.encode()


def test_the_key_is_in_no_representation(tmp_path: Path) -> None:
    settings = load(tmp_path, key=KEY)
    shown = [repr(settings), str(settings), repr(settings.snapshots), str(settings.snapshots)]
    shown += [settings.model_dump_json(), repr(settings.model_dump())]
    assert [text for text in shown if "Aladdin" in text] == []


@pytest.mark.parametrize(
    "key", [[KEY], {"file": "not there", "text": KEY}, {KEY: 1}, KEY[:15], "", 1234567890123456]
)
def test_a_wrong_key_is_refused_in_a_sentence_that_does_not_quote_it(
    tmp_path: Path, key: Any
) -> None:
    with pytest.raises(SettingsError, match=r"snapshots\.key") as caught:
        load(tmp_path, key=key)
    assert "Aladdin" not in str(caught.value)
    assert "1234567890123456" not in str(caught.value)


def test_a_folder_for_snapshots_is_relative_to_the_settings(tmp_path: Path) -> None:
    assert load(tmp_path, store="snaps").snapshots.store == str(tmp_path / "snaps")
    assert load(tmp_path, store="/var/snaps").snapshots.store == "/var/snaps"
    assert load(tmp_path, store="s3://bucket/snaps").snapshots.store == "s3://bucket/snaps"
