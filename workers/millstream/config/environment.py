"""Settings in environment variables: `MILLSTREAM_SECTION__KEY`."""

import os
import re
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings import SettingsError as EnvironmentError_

from millstream.config.yaml_file import nearest, read_scalar
from millstream.errors import SettingsError

PREFIX: Final = "MILLSTREAM_"
FAILPOINT: Final = f"{PREFIX}FAILPOINT"
"""Not a setting of users: the point at which a test ends the worker; see `_failpoints`."""
_OF_LABELS: Final = {"on_timeout", "values"}
"""Sections whose values are labels."""
# Kubernetes sets them in every pod beside a service that is named millstream.
_SERVICE_LINK: Final = re.compile(
    f"^{PREFIX}(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)$"
)


def failpoint() -> str | None:
    """The point at which a test ends this process; None: it ends nowhere."""
    return os.environ.get(FAILPOINT)


class _Environment(EnvSettingsSource):
    """Environment variables; every mistake in their JSON is a ValueError."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def read_environment(variables: type[BaseSettings]) -> dict[str, Any]:
    """The settings in the environment, laid out as in a file; `variables`: which there may be.

    Raises `SettingsError` for a variable that is unknown or cannot be read.
    """
    source = _Environment(variables)
    _refuse_unknown(source, {PREFIX + name.upper() for name in variables.model_fields})
    try:
        values: dict[str, Any] = source()
    except EnvironmentError_ as error:
        section = PREFIX + str(error).split('"')[1].upper()
        raise SettingsError(
            f"{section}: a variable of this section cannot be read: write lists and objects as JSON"
        ) from error
    if isinstance(values.get("kafka"), dict):
        values["kafka"] = _dotted(values["kafka"])
    snapshots = values.get("snapshots")
    if isinstance(snapshots, dict) and "key_file" in snapshots:
        snapshots["key"] = {"file": snapshots.pop("key_file")}
    for name in source.env_vars:
        section, _, key = name.removeprefix(f"{PREFIX}labels__".lower()).partition("__")
        labels = values.get("labels", {}).get(section) if section in _OF_LABELS else None
        # Text inside JSON is text: there are quotes around it.
        if isinstance(labels, dict) and isinstance(labels.get(key), str):
            labels[key] = read_scalar(labels[key])
    return values


def _refuse_unknown(source: EnvSettingsSource, known: set[str]) -> None:
    for name in map(str.upper, source.env_vars):
        section = name.split("__")[0]
        if name == FAILPOINT or _SERVICE_LINK.search(name):
            continue
        if section.startswith(PREFIX) and section not in known:
            hint = nearest(section, known)
            raise SettingsError(f"unknown variable {name} in the environment: {hint}")


def _dotted(kafka: dict[str, Any]) -> dict[str, Any]:
    """Kafka properties, from their names in the environment such as `sasl_password_file`.

    Underscores stand for dots, and a name that ends in `_file` names a file that holds the value.
    """
    named: dict[str, Any] = {}
    for key, value in kafka.items():
        if key.endswith("_file"):
            named[key.removesuffix("_file").replace("_", ".")] = {"file": value}
        else:
            named[key.replace("_", ".")] = value
    return named
