"""Real records against the contract: what tests of any kind call."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

SCHEMAS = Path(__file__).parents[2] / "schemas"
KINDS = tuple(sorted(path.stem for path in SCHEMAS.glob("*.json")))
"""Names of the schemas: `prediction`, `example`, `dead-letter`, `replay-note` and so on."""


def load(path: Path) -> Any:
    """Read a JSON file."""
    return orjson.loads(path.read_bytes())


@cache
def validator(kind: str) -> jsonschema_rs.Draft202012Validator:
    """Compile the schema of a kind of record, once."""
    return jsonschema_rs.Draft202012Validator(load(SCHEMAS / f"{kind}.json"))


def validate(kind: str, document: Any) -> None:
    """Fail with every way in which a record of this kind, parsed from JSON, breaks the contract."""
    errors = [
        f"/{'/'.join(map(str, e.instance_path))}: {e.message}" for e in errors_of(kind, document)
    ]
    assert not errors, f"not a {kind}: {'; '.join(errors)}\n{document}"


def validate_dead_letter(headers: Iterable[tuple[str, bytes | None]]) -> None:
    """Fail where the headers of a dead letter break the contract."""
    validate("dead-letter", {name: (value or b"").decode() for name, value in headers})


def errors_of(kind: str, document: Any) -> list[jsonschema_rs.ValidationError]:
    """Say how a record breaks the contract."""
    return list(validator(kind).iter_errors(document))
