"""Snapshots in a folder or another store that fsspec knows."""

import resource
from pathlib import Path
from typing import Any

import pytest

from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.errors import SettingsError
from millstream.snapshots.files import NotStored, SnapshotFiles

NAME = "1767225600000-0123abcd"


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotFiles:
    url = str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"
    return SnapshotFiles(url, "app")


def test_what_is_written_can_be_read_and_deleted(files: SnapshotFiles) -> None:
    files.write(3, NAME, b"weights")
    assert files.read(3, NAME) == b"weights"
    files.delete(3, NAME)
    files.delete(3, NAME)
    with pytest.raises(BadSnapshot, match=NAME):
        files.read(3, NAME)


def test_trying_it_out_leaves_nothing_behind(tmp_path: Path) -> None:
    SnapshotFiles(str(tmp_path), "app").try_out()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_crash_in_the_middle_leaves_no_snapshot_and_deleting_it_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SnapshotFiles(str(tmp_path), "app")

    def die(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(KeyboardInterrupt):
        files.write(0, NAME, b"half")
    with pytest.raises(BadSnapshot):
        files.read(0, NAME)
    files.delete(0, NAME)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_place_of_the_folder_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("in the way")
    files = SnapshotFiles(str(tmp_path), "app")
    for act in (lambda: files.write(0, NAME, b"x"), files.try_out):
        with pytest.raises(NotStored, match="cannot be written"):
            act()
    with pytest.raises(NotStored, match="cannot be deleted"):
        files.delete(0, NAME)


def test_a_disk_without_room_leaves_what_was_there(tmp_path: Path) -> None:
    files = SnapshotFiles(str(tmp_path), "app")
    files.write(0, NAME, b"whole")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(NotStored, match="cannot be written"):
            files.write(0, NAME, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files.read(0, NAME) == b"whole"
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".snapshot"]


def test_whatever_a_store_raises_is_told_as_one_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SnapshotFiles(f"memory://{tmp_path.name}", "app")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    for name in ("pipe_file", "cat_file", "rm_file"):
        monkeypatch.setattr(files._files, name, fail)
    with pytest.raises(NotStored, match="ConnectionResetError"):
        files.write(0, NAME, b"x")
    with pytest.raises(BadSnapshot, match="ConnectionResetError"):
        files.read(0, NAME)
    with pytest.raises(NotStored, match="ConnectionResetError"):
        files.delete(0, NAME)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://bucket", "nosuch"),
        ("s3://bucket/path", "s3fs"),
        ("sftp://me:hunter2@host/path", "holds a password"),
    ],
)
def test_a_wrong_url_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        SnapshotFiles(url, "app")
    assert "hunter2" not in str(caught.value)
