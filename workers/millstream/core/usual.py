"""Reads the usual event in one go: all fields there, all of them what they should be.

What is unusual in any way is not judged here. It is read by `EventReader.read`, which knows every
rule and says what is wrong; so this is a shortcut, and never another answer. It takes about half of
the time.
"""

from collections.abc import Callable
from math import hypot
from typing import Any

import orjson

from millstream.core.features import MAX_MAGNITUDE
from millstream.core.fields import check_id, root
from millstream.core.models.learner import Label
from millstream.core.spec import EventsSpec
from millstream.errors import DeadLetter

Fields = tuple[str | int | None, dict[str, Any], Label | None, None, int]
"""Of an `events.Event`, in its order."""
Convert = Callable[[Any], Label]


def usual_reader(
    spec: EventsSpec, label: str | None, convert: Convert
) -> Callable[[bytes], Fields | None] | None:
    """A function from a message's value to the event in it, or None for one that is unusual.

    `label`: path of the label inside the event, if it has one; `convert`: what makes it a label
    that the model learns. None where the settings ask for more than plain fields.
    """
    names = spec.features
    paths = [path for path in (spec.id, label) if path]
    if (
        not isinstance(names, tuple)
        or spec.json_schema is not None
        or spec.codec is not None
        or spec.timestamp is not None
        or spec.bounds
        or any(root(path) != path for path in (*names, *paths))
    ):
        return None
    count = len({*names, *paths})
    identity_path = spec.id
    loads, decode_error = orjson.loads, orjson.JSONDecodeError

    def read(value: bytes) -> Fields | None:
        try:
            document = loads(value)
            features = {name: document[name] for name in names}
            if len(document) != count or not hypot(*features.values()) <= MAX_MAGNITUDE:
                return None
            identity = None if identity_path is None else document[identity_path]
            if identity_path is not None and type(identity) is not int:
                identity = check_id(identity, identity_path)
            learned = None if label is None else convert(document[label])
        except (decode_error, KeyError, TypeError, OverflowError, DeadLetter):
            return None
        return identity, features, learned, None, 0

    return read
