"""Results of cells in a file, a line of JSON each, so that a table can be made of several runs."""

from pathlib import Path
from typing import Any

import orjson

from tests.faults.history import Violation
from tests.faults.run import Result
from tests.faults.scene import Recovery, Variant


def append(file: Path, result: Result) -> None:
    """Write down what a cell came to."""
    with file.open("ab") as out:
        out.write(orjson.dumps(_document(result)) + b"\n")


def load(file: Path) -> list[Result]:
    """All that was written down, in that order."""
    return [_result(orjson.loads(line)) for line in file.read_bytes().splitlines()]


def _document(result: Result) -> dict[str, Any]:
    return {
        **vars(result),
        "variant": result.variant._asdict(),
        "violations": [violation._asdict() for violation in result.violations],
        "recoveries": [recovery._asdict() for recovery in result.recoveries],
    }


def _result(document: dict[str, Any]) -> Result:
    return Result(
        **{
            **document,
            "variant": Variant(**document["variant"]),
            "violations": [Violation(**each) for each in document["violations"]],
            "recoveries": [Recovery(**each) for each in document["recoveries"]],
        }
    )
