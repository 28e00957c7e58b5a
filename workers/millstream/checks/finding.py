"""What `check` finds: a level, what it is about, and one sentence with what to do."""

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "error"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level
    about: str
    text: str
