"""References to files in settings: secrets and schemas by content, other paths made absolute."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from millstream.core.spec import MODEL_FILES
from millstream.errors import SettingsError


def resolve_references(document: dict[str, Any], folder: Path, origin: str) -> None:
    """Replace each reference in a document; paths are relative to `folder`.

    `origin`: the file that errors name. Raises `SettingsError` for a file that cannot be read.
    """
    kafka, snapshots = _section(document, "kafka"), _section(document, "snapshots")
    for key, value in kafka.items():
        if _is_reference(value):
            kafka[key] = _secret(folder, value, f"{origin}: kafka.{key}")
    if _is_reference(snapshots.get("key")):
        snapshots["key"] = _secret(folder, snapshots["key"], f"{origin}: snapshots.key")
    store = snapshots.get("store")
    if isinstance(store, str) and "://" not in store:
        refuse_nul(store, f"{origin}: snapshots.store")
        snapshots["store"] = str((folder / store).absolute())
    events = _section(document, "events")
    if isinstance(events.get("schema"), str):
        events["schema"] = _json(folder / events["schema"], f"{origin}: events.schema")
    model = _section(document, "model")
    for name in MODEL_FILES:
        section = _section(model, name)
        if isinstance(section.get("path"), str):
            refuse_nul(section["path"], f"{origin}: model.{name}.path")
            section["path"] = str((folder / section["path"]).absolute())
    waiting = _section(document, "waiting")
    if isinstance(waiting.get("directory"), str):
        waiting["directory"] = str((folder / waiting["directory"]).absolute())


def _is_reference(value: object) -> bool:
    """Whether a value names the file that holds a secret: `{file: PATH}`."""
    return isinstance(value, dict) and set(value) == {"file"}


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A section of a document; an empty one where there is none."""
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _secret(folder: Path, reference: Mapping[str, Any], setting: str) -> str:
    return _content(folder / str(reference["file"]), setting).rstrip("\r\n")


def _json(path: Path, setting: str) -> Any:
    try:
        return orjson.loads(_content(path, setting))
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{setting}: {path} is not JSON: {error}") from error


def refuse_nul(path: str, what: str) -> None:
    """Raise `SettingsError` for a path that no system can open."""
    if "\0" in path:
        shown = path.replace("\0", "\\0")
        raise SettingsError(f"{what}: {shown} holds a NUL character, which no path can")


def _content(path: Path, setting: str) -> str:
    refuse_nul(str(path), setting)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"{setting}: {path} cannot be read ({reason})") from error
