"""From the nodes of `taking` to JSON, and back to lists of the same shape."""

from typing import Any, Final

import orjson

from millstream.core.models.codecs.taking import Node
from millstream.core.models.codecs.values import scalar_to_json

FORMAT: Final = 1


def to_json(node: Node, classes: list[tuple[str, tuple[str, ...]]], *, untaught: bool) -> bytes:
    """Write nodes as JSON. `untaught`: see `Learner.untaught`."""
    return orjson.dumps(
        {"format": FORMAT, "untaught": untaught, "classes": classes, "model": _json(node)}
    )


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
    return [tag, *(map_all(part) if type(part) is list else part for part in parts)]


def map_all(items: list[Node]) -> list[Any]:
    """Write the items of a list."""
    return [_json(item) for item in items]
