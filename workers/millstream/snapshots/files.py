"""Snapshot files in a folder or an object store, through fsspec."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.errors import SettingsError


class NotStored(OSError):
    """A store that failed; the message says which file and why."""


class SnapshotFiles:
    """One file for each snapshot: `<root>/<app>/<partition>/<name>.snapshot`."""

    def __init__(self, url: str, app: str) -> None:
        """Raises SettingsError if fsspec does not know the URL, or lacks a library for it."""
        self.url = url
        self._app = app
        self._files: Any
        if "://" in url and urlsplit(url).password is not None:
            # The models topic names the store of each snapshot.
            raise SettingsError(
                "snapshots.store holds a password, which would stand in the models topic: give it "
                "where fsspec's library for this store looks for it (its environment variables, or "
                "fsspec's own configuration)"
            )
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise SettingsError(f"snapshots.store: {url}: {error}") from error
        self._root = root.rstrip("/")

    def try_out(self) -> None:
        """Write a file, read it, and delete it. Raises NotStored."""
        name = f"0-{token_hex(4)}"
        try:
            self.write(0, name, b"")
            self.read(0, name)
            self.delete(0, name)
        except BadSnapshot as error:
            raise NotStored(str(error)) from error

    def write(self, partition: int, name: str, blob: bytes) -> None:
        """Store a snapshot whole or not at all. Raises NotStored.

        A local file is written under another name, forced to the disk, and renamed. An object store
        shows an object only when it is complete.
        """
        path = self._path(partition, name)
        with self._errors("written", path):
            if isinstance(self._files, LocalFileSystem):
                _write_local(Path(path), blob)
                return
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, blob)

    def read(self, partition: int, name: str) -> bytes:
        """The bytes of a snapshot. Raises BadSnapshot if there are none."""
        path = self._path(partition, name)
        try:
            with self._errors("read", path):
                content: bytes = self._files.cat_file(path)
        except NotStored as error:
            raise BadSnapshot(str(error)) from error
        return content

    def delete(self, partition: int, name: str) -> None:
        """Remove a snapshot, complete or left by a crash, if there is one. Raises NotStored."""
        path = self._path(partition, name)
        with self._errors("deleted", path):
            if isinstance(self._files, LocalFileSystem):
                _temporary(Path(path)).unlink(missing_ok=True)
            try:
                self._files.rm_file(path)
            except FileNotFoundError:
                return

    def _path(self, partition: int, name: str) -> str:
        return f"{self._root}/{self._app}/{partition}/{name}.snapshot"

    @contextmanager
    def _errors(self, done: str, path: str) -> Iterator[None]:
        """Turn every error of a store into NotStored: each store has errors of its own."""
        try:
            yield
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) else None
            text = reason or f"{type(error).__name__}: {error}"
            raise NotStored(f"{path} cannot be {done} ({text})") from error


def _temporary(path: Path) -> Path:
    return path.with_suffix(".tmp")


def _write_local(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
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
        os.fsync(folder)  # so that the name survives a power failure as well
    finally:
        os.close(folder)
