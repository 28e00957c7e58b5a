"""The user's JSON Schema for events, compiled once and never fetched from anywhere."""

from typing import Any, Final, NoReturn

import jsonschema_rs

from millstream.errors import DeadLetter

_TOO_DEEP: Final = "nested too deep to be checked against a schema"


class Schema:
    """A compiled JSON Schema."""

    def __init__(self, schema: dict[str, Any] | bool) -> None:  # noqa: FBT001 - a schema may be one
        """Compile it; raises ValueError that says in a line what is wrong with it."""
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except jsonschema_rs.ValidationError as error:
            where = "/".join(map(str, error.instance_path))
            said = error.message.splitlines()[0]
            raise ValueError(f"at {where}: {said}" if where else said) from None

    def check(self, document: dict[str, Any]) -> None:
        """Raise `DeadLetter("schema")` that names the rule which the document breaks."""
        try:
            if self._validator.is_valid(document):
                return
            first = next(iter(self._validator.iter_errors(document)))
        except ValueError:  # the only error it has for a document that orjson made
            raise DeadLetter("schema", _TOO_DEEP) from None
        # Never the message: it quotes the value that breaks the rule.
        raise DeadLetter("schema", "/".join(map(str, first.schema_path)))


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"a schema has to be complete; {uri} is not fetched")
