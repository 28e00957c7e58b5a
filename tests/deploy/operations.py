"""The commands that docs/operations.md shows."""

import re
import shlex
from typing import Final

from tests.deploy.files import ROOT

PAGE: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS: Final = [
    block.replace("\\\n", " ") for block in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
]
LINES: Final = [line.strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS: Final = [line for line in LINES if re.match(r"(?:MILLSTREAM_\w+=\S+ )?millstream ", line)]
"""Those of ours, as they stand there."""


def words(line: str) -> list[str]:
    """A command of the program, without variables before it and without its name."""
    parts = shlex.split(line)
    return parts[parts.index("millstream") + 1 :]
