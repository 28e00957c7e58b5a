"""Turns the errors of pydantic into sentences for the user."""

from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from millstream.config.yaml_file import nearest

_UNION_TAGS: Final = {
    "AllBut", "Assume", "bool", "int", "constrained-int", "float", "constrained-float",
    "finite-float", "str", "constrained-str", "dict[str,any]", "NoneType",
}  # fmt: skip
"""Steps of a pydantic location that name the branch of a union, not a key."""

_PATTERNS: Final = {
    r"^[a-zA-Z0-9._-]{1,100}$": "it has to be 1 to 100 letters, digits, dots, dashes or _",
    r"^[a-zA-Z0-9._-]{1,249}$": "it has to be 1 to 249 letters, digits, dots, dashes or _",
    r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "it has to be of the form package.module:function",
    r"^[0-9a-f]{64}$": "it has to be a SHA-256: 64 digits 0-9 and a-f, in lower case",
}
"""Regular expressions in words: all those that settings have."""

_WORDS: Final = {
    "literal_error": "it has to be {expected}",
    "string_type": "it has to be text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it has to be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "it has to be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "it has to be true or false"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"),
        "it has to be a section with keys and values",
    ),
    **dict.fromkeys(("tuple_type", "list_type"), "it has to be a list"),
    "too_long": "it has {actual_length} items, and may have {max_length}",
    "missing": "{key} is missing",
    "extra_forbidden": "{key} is unknown",
    "value_error": "{error}",
}
"""pydantic's type of an error to the value that is expected."""


def sentences(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    """One sentence for each problem, one a line: what, where, what to do."""
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_place.setdefault(_place(detail), []).append(detail)
    lines = [
        f"{origin}: {line}"
        for place, found in by_place.items()
        # Where a section is a choice, the branch that was meant says more than the choice.
        if not (place and any(other.startswith(f"{place}.") for other in by_place))
        for line in _sentence(place, found, model).splitlines()
    ]
    return "\n".join(dict.fromkeys(lines))


def _place(detail: ErrorDetails) -> str:
    """The setting's path as the user writes it."""
    steps = [
        str(step) for step in detail["loc"]
        if not (isinstance(step, str) and (step in _UNION_TAGS or "[" in step))
    ]  # fmt: skip
    return ".".join(steps)


def _sentence(place: str, found: list[ErrorDetails], model: type[BaseModel]) -> str:
    detail = found[0]
    context: dict[str, Any] = detail.get("ctx") or {}
    kind = detail["type"]
    if kind == "value_error":
        # Our own validators write whole sentences that name the setting; add it where they do not.
        said = str(context["error"])
        return (
            said
            if not place or said.startswith(place.split(".", maxsplit=1)[0])
            else f"{place}: {said}"
        )
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return f"{place.rpartition('.')[0]}: a key that is no text (yes, no, 1): put it into quotes"
    if kind == "missing":
        return f"{place} is missing: it has to be set"
    if kind == "extra_forbidden":
        parent, _, name = place.rpartition(".")
        return f"unknown key {place}: {nearest(name, _known_keys(model, parent))}"
    if len(found) > 1:
        return f"{place} is not what it may be: {_wanted(found)}"
    return f"{place} is wrong: {_plain(detail)}"


def _wanted(found: list[ErrorDetails]) -> str:
    return "; or ".join(dict.fromkeys(_plain(detail) for detail in found))


def _plain(detail: ErrorDetails) -> str:
    """The expected value, without pydantic's names of types."""
    context: dict[str, Any] = detail.get("ctx") or {}
    kind = detail["type"]
    if kind in _WORDS:
        return _WORDS[kind].format(key=detail["loc"][-1] if detail["loc"] else "", **context)
    if kind == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]
    return detail["msg"].lower().replace("input should be", "it has to be")


def _known_keys(model: type[BaseModel], parent: str) -> list[str]:
    """The keys there are in a section, as users write them."""
    section: Any = model
    for step in parent.split(".") if parent else []:
        section = _section_of(section, step)
        if section is None:
            return []
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    return part
    return None
