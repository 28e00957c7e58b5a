"""A result of `millstream check`: level, subject, and a sentence that says what to do."""

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "error"]


class Finding(NamedTuple):
    """The result of one check."""

    level: Level
    about: str
    text: str
