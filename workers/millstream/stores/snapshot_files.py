"""Snapshots in a folder or an object store, through fsspec."""

import os
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from millstream.core.snapshot import BadSnapshot
from millstream.errors import SettingsError


class SnapshotFiles:
    """One file for each snapshot: `<root>/<app>/<partition>/<name>.snapshot`."""

    def __init__(self, url: str, app: str) -> None:
        """Raises SettingsError where fsspec does not know the URL, or lacks a library for it."""
        self.url = url
        self._app = app
        self._files: Any
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise SettingsError(f"snapshots.store: {url}: {error}") from error
        self._root = root.rstrip("/")

    def write(self, partition: int, name: str, blob: bytes) -> None:
        """Store a snapshot so that it is there whole or not at all. Raises OSError.

        A local file is written under another name, forced to the disk, and renamed. An object store
        shows an object only when all of it is there.
        """
        path = self._path(partition, name)
        if isinstance(self._files, LocalFileSystem):
            _write_local(Path(path), blob)
            return
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(path, blob)

    def read(self, partition: int, name: str) -> bytes:
        """A snapshot's bytes. Raises BadSnapshot where there are none."""
        path = self._path(partition, name)
        try:
            content: bytes = self._files.cat_file(path)
        except (OSError, ValueError) as error:
            raise BadSnapshot(f"{path} cannot be read ({error})") from error
        return content

    def delete(self, partition: int, name: str) -> None:
        """Remove a snapshot; one that is not there is removed already. Raises OSError."""
        try:
            self._files.rm_file(self._path(partition, name))
        except FileNotFoundError:
            return

    def _path(self, partition: int, name: str) -> str:
        return f"{self._root}/{self._app}/{partition}/{name}.snapshot"


def _write_local(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the name, too, is there after a power failure
    finally:
        os.close(folder)
