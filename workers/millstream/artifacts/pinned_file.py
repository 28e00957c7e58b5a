"""Files that are read only when their SHA-256 is the one in the settings."""

import hashlib
import io
from pathlib import Path
from typing import Any

import joblib

from millstream.artifacts.user_code import first_line
from millstream.core.spec import FileRef
from millstream.errors import SettingsError


def load_pinned(setting: str, file: FileRef) -> Any:
    """Unpickle a file, which may run code, after its checksum has been compared.

    `setting`: its name, for messages. Raises SettingsError where the file cannot be read or loaded,
    or has another checksum.
    """
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}.path: {file.path}: {error.strerror}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise SettingsError(
            f"{setting}.sha256: {file.path} has {actual}, but the settings pin {file.sha256}"
        )
    try:
        return joblib.load(io.BytesIO(content))
    except Exception as error:
        raise SettingsError(
            f"{setting}.path: {file.path} cannot be loaded ({first_line(error)})"
        ) from error
