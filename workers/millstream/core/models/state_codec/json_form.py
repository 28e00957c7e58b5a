"""The nodes of `capture` as JSON lists of the same shape."""

from typing import Any, Final

import orjson

from millstream.core.models.state_codec.capture import Node, NotPlainError, StateCapture
from millstream.core.models.state_codec.errors import BadStateError
from millstream.core.models.state_codec.restore import MisfitError, StateRestorer
from millstream.core.models.state_codec.scalars import scalar_to_json

FORMAT: Final = 1


def to_json(node: Node, classes: list[tuple[str, tuple[str, ...]]], *, untrained: bool) -> bytes:
    """Write nodes as JSON. `untrained`: see `LearnerState`."""
    return orjson.dumps(
        {"format": FORMAT, "untaught": untrained, "classes": classes, "model": _json(node)}
    )


def plain_to_json(value: Any) -> Any:
    """Write scalars, and dicts, lists and tuples of them, as JSON that keeps every bit.

    Raises BadStateError for anything else.
    """
    try:
        return _json(StateCapture().take(value))
    except NotPlainError as error:
        raise BadStateError(f"a value is not plain: {error}") from error


def plain_from_json(written: Any) -> Any:
    """Read what `plain_to_json` wrote. Raises BadStateError."""
    try:
        return StateRestorer([]).put(written)
    except (MisfitError, ValueError, TypeError, LookupError) as error:
        raise BadStateError("a value is not what was written") from error


def _json(node: Node) -> Any:
    if type(node) is not tuple:
        return scalar_to_json(node)
    tag, *parts = node
    if tag == "a":
        (array,) = parts
        order = "C" if array.flags.c_contiguous else "F"
        return ["a", array.dtype.str, list(array.shape), order, array.tobytes(order).hex()]
    if tag == "g":
        (state,) = parts
        kind, key = state["bit_generator"], state["state"]
        return [
            *("g", kind, key["key"].tolist(), key["pos"], state["has_gauss"]),
            scalar_to_json(state["gauss"]),
        ]
    if tag == "x":
        return ["x", parts[0], parts[1].hex()]
    return [
        tag,
        *([_json(item) for item in part] if type(part) is list else part for part in parts),
    ]
