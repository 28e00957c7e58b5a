"""Converts arguments of the Python API: settings, durations and times."""

from collections.abc import Mapping
from operator import index
from os import PathLike
from typing import Any, Final, SupportsIndex

from pydantic import TypeAdapter, ValidationError

from millstream.config.settings import Settings, load_settings, make_settings
from millstream.core.formats.json_fields import MAX_TIME_MS
from millstream.core.spec import Milliseconds
from millstream.errors import SettingsError

NOWHERE: Final = {"bootstrap.servers": "memory:0"}
"""The `kafka` section of an app that has no broker."""

Duration = str | int
"""Such as "7d", or milliseconds."""
SettingsLike = Settings | str | PathLike[str] | Mapping[str, Any]


def to_settings(given: SettingsLike) -> Settings:
    """Settings as loaded, the path of a file, or what a file would hold; raises `SettingsError`."""
    if isinstance(given, Settings):
        return given
    if isinstance(given, Mapping):
        return make_settings({"kafka": NOWHERE, **given})
    return load_settings(given)


def to_milliseconds(duration: Duration) -> int:
    """A duration as whole milliseconds. Raises `SettingsError`."""
    try:
        return TypeAdapter(Milliseconds).validate_python(duration)
    except ValidationError as error:
        raise SettingsError(f"{duration!r} is no duration: write 30s or 5m") from error


def to_time(at: SupportsIndex | None) -> int | None:
    """The time of a message, ms since 1970. Raises `SettingsError` if it is no such time."""
    if at is None:
        return None
    whole = isinstance(at, SupportsIndex) and not isinstance(at, bool)
    if not whole or not 0 <= index(at) < MAX_TIME_MS:
        raise SettingsError(
            f"at is {at!r}: it has to be a whole number of milliseconds since 1970, such as "
            "int(time.time() * 1000)"
        )
    return index(at)
