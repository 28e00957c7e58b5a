"""The contract in `schemas/` says what it means to say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from pydantic import ValidationError

from millstream.core.records.record import REASONS
from millstream.core.snapshots.manifest import ManifestEntry
from tests.support.validators import KINDS, SCHEMAS, errors_of, load, validate, validate_dead_letter

VALID = sorted((SCHEMAS / "examples" / "valid").glob("*.json"))
INVALID = sorted((SCHEMAS / "examples" / "invalid").glob("*.json"))
REASONS_FILE: dict[str, dict[str, str]] = load(SCHEMAS / "examples" / "reasons.json")


def kind_of(example: Path) -> str:
    """Find the schema whose name the file's name begins with."""
    return next(kind for kind in KINDS if example.name.startswith(f"{kind}-"))


def stem(path: Path) -> str:
    return path.stem


def fields_of(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that the schema declares, nested ones too; conditions declare none."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}/{name}", field
        yield from fields_of(field, f"{path}/{name}")


@pytest.mark.parametrize("example", VALID, ids=stem)
def test_a_valid_example_passes(example: Path) -> None:
    validate(kind_of(example), load(example))


@pytest.mark.parametrize("example", INVALID, ids=stem)
def test_an_invalid_example_fails_for_its_reason_and_no_other(example: Path) -> None:
    reason = REASONS_FILE[example.name]
    errors = errors_of(kind_of(example), load(example))
    assert errors
    for error in errors:
        assert "/" + "/".join(map(str, error.instance_path)) == reason["at"]
        assert reason["keyword"] in error.schema_path


def test_there_is_a_reason_for_each_invalid_example_and_for_no_other_file() -> None:
    assert {example.name for example in INVALID} == set(REASONS_FILE)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_valid_and_invalid_examples(kind: str) -> None:
    assert len([e for e in VALID if kind_of(e) == kind]) >= 2
    assert len([e for e in INVALID if kind_of(e) == kind]) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_itself_valid_and_named_after_its_file(kind: str) -> None:
    schema = load(SCHEMAS / f"{kind}.json")
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"] == f"urn:millstream:schema:{kind}:1"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    fields = dict(fields_of(load(SCHEMAS / f"{kind}.json")))
    assert fields
    assert [path for path, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_required_field_is_declared(kind: str) -> None:
    schema = load(SCHEMAS / f"{kind}.json")
    for part in (schema, *(field for _, field in fields_of(schema))):
        assert set(part.get("required", ())) <= set(part.get("properties", ()))


@pytest.mark.parametrize("example", VALID, ids=stem)
def test_a_field_of_a_later_version_is_no_error_at_any_level(example: Path) -> None:
    document = load(example)
    for part in (document, *(document.get(n) for n in ("model", "source", "event", "message"))):
        if isinstance(part, dict):
            part["from a later version"] = 1
    validate(kind_of(example), document)


def test_schema_and_program_know_the_same_reasons_and_stages_of_dead_letters() -> None:
    headers = load(SCHEMAS / "dead-letter.json")["properties"]
    assert set(headers["millstream-reason"]["enum"]) == set(REASONS)
    assert set(headers["millstream-stage"]["enum"]) == {stage for stage, _ in REASONS.values()}
    assert set(load(SCHEMAS / "model-note.json")["properties"]["reason"]["enum"]) == set(REASONS)


def test_schema_and_program_know_the_same_fields_of_a_snapshots_pointer() -> None:
    schema = load(SCHEMAS / "snapshot.json")
    assert set(schema["required"]) == set(schema["properties"]) == set(ManifestEntry.model_fields)
    for path in VALID:
        if kind_of(path) == "snapshot":
            assert ManifestEntry.model_validate(load(path)).model_dump() == load(path)


def test_what_the_program_writes_of_a_snapshot_is_a_pointer_of_the_contract() -> None:
    example = load(SCHEMAS / "examples" / "valid" / "snapshot-in-the-topic.json")
    written = orjson.loads(ManifestEntry.model_validate(example).record().value or b"")
    validate("snapshot", written)


@pytest.mark.parametrize("example", INVALID, ids=stem)
def test_a_pointer_that_breaks_the_contract_is_none_to_the_program(example: Path) -> None:
    if kind_of(example) == "snapshot":
        with pytest.raises(ValidationError):
            ManifestEntry.model_validate(load(example))


def test_headers_are_checked_as_bytes() -> None:
    example = load(SCHEMAS / "examples" / "valid" / "dead-letter-not-json.json")
    headers = [(name, text.encode()) for name, text in example.items()]
    validate_dead_letter([*headers, ("the user's own", None)])
    with pytest.raises(AssertionError, match="millstream-offset"):
        validate_dead_letter([h for h in headers if h[0] != "millstream-offset"])
