"""Reads settings files: YAML 1.2 in which no key stands twice."""

import difflib
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from millstream.config.kafka_properties import is_secret
from millstream.config.references import refuse_nul
from millstream.errors import SettingsError

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,30})", "-+0123456789"),
    "float": (
        (
            r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "-+.0123456789",
    ),
    "merge": (r"<<", "<"),
}
"""Types of scalars without quotes, as in YAML 1.2. By YAML 1.1, which PyYAML reads, the classes
`yes` and `no` are booleans, `1:30` is ninety and `0123` eighty-three."""


_CERTIFICATES: Final = {"ssl.ca.pem", "ssl.certificate.pem"}
"""Hidden in logs like all PEM, but not secret: every client sees them."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def get_single_node(self) -> yaml.Node | None:
        """Read Kafka properties as text: a password of digits is no number."""
        node = super().get_single_node()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "kafka" and isinstance(value, yaml.MappingNode):
                    _read_as_text(value)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the signature is PyYAML's
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == f"{_TAG}merge":  # <<: *other
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), list(_first))


def _read_as_text(properties: yaml.MappingNode) -> None:
    for _, value in properties.value:
        if isinstance(value, yaml.ScalarNode) and value.tag in {f"{_TAG}int", f"{_TAG}float"}:
            value.tag = f"{_TAG}str"


def read_file(path: Path) -> dict[str, Any]:
    """The settings file as it is; raises `SettingsError`."""
    refuse_nul(str(path), "SETTINGS")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {_one_line(error)}") from error
    except ValueError as error:  # a date such as 2026-02-30, which PyYAML makes without a check
        raise SettingsError(f"{path}: is not YAML: {error}; put text into quotes") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: is nested too deep") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: has to hold keys and values, such as app: fraud")
    for key in document:
        # Keys become keyword arguments, where pydantic takes those with a _ for its own.
        if not isinstance(key, str) or key.startswith("_"):
            raise SettingsError(f"{path}: unknown key {key}: see the README for those there are")
    return document


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark is not None else ""
    if isinstance(error, yaml.composer.ComposerError) or "constructor for the tag" in str(error):
        # PyYAML's words would quote what may be half of a password.
        return f"an unknown * or !{where}; put text that begins with *, & or ! into quotes"
    return f"{getattr(error, 'problem', None) or 'it cannot be parsed'}{where}"


def merge(document: dict[str, Any], over: dict[str, Any]) -> None:
    """Override values of a document, section by section."""
    for key, value in over.items():
        below = document.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merge(below, value)
        else:
            document[key] = value


def read_scalar(text: str) -> bool | int | float | str | None:
    """A label in the environment, read as in a file: `false` is a boolean there, `yes` a text.

    Elsewhere the setting says what type a text stands for; a label may be of any. What is no
    scalar there is text, for a text may begin with a bracket.
    """
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def plain_secrets(path: Path) -> list[str]:
    """Settings whose secret is written in the file itself; raises `SettingsError`."""
    document = read_file(path)
    kafka, snapshots = document.get("kafka"), document.get("snapshots")
    found = [
        f"kafka.{name}"
        for name, value in (kafka.items() if isinstance(kafka, dict) else ())
        if is_secret(name) and name not in _CERTIFICATES and value and not isinstance(value, dict)
    ]
    key = snapshots.get("key") if isinstance(snapshots, dict) else None
    return [*found, *(["snapshots.key"] if isinstance(key, str) else [])]


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean x?`, or the list of known names where none is similar."""
    names = {each.lower(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.lower(), names, n=1)
    if close:
        return f"did you mean {names[close[0]]}?"
    return f"there are: {', '.join(names.values())}"
