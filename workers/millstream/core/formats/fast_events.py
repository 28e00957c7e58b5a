"""The fast path for plain events, whose fields are all there and valid.

Any other event is left to `EventReader.read`, which knows every rule and names the fault; so this
is a shortcut and never gives another answer. It takes about half of the time.
"""

from collections.abc import Callable
from math import hypot

import orjson

from millstream.core.formats.features import MAX_MAGNITUDE
from millstream.core.formats.json_fields import MAX_TEXT, root
from millstream.core.formats.labels import LabelRule
from millstream.core.records.event import Event, new_event
from millstream.core.spec import EventsSpec
from millstream.errors import DeadLetter


def usual_reader(
    spec: EventsSpec, label: str | None, rule: LabelRule
) -> Callable[[bytes | None], Event | None] | None:
    """A function from a message's value to the event in it, or None for one that is unusual.

    `label`: path of the label inside the event, if it has one; `rule`: which labels the model
    learns. None where the settings ask for more than plain fields.
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
        or len({*names, *paths}) < len(names) + len(paths)
    ):
        return None
    count, identity_path = len(names), spec.id
    convert, as_they_are = rule.convert, rule.as_they_are
    loads, decode_error = orjson.loads, orjson.JSONDecodeError

    def read(value: bytes | None) -> Event | None:
        try:
            document = loads(value)  # type: ignore[arg-type] # None is no JSON either
            identity = None if identity_path is None else document.pop(identity_path)
            learned = None if label is None else document.pop(label)
            # What is left is the features as they are to be, if whoever wrote them has the
            # settings' order; else they are put into it.
            features = document
            if tuple(document) != names:
                features = {name: document[name] for name in names}
                if len(document) != count:
                    return None
            if not hypot(*features.values()) <= MAX_MAGNITUDE:
                return None
            if type(identity) is str:
                if not 0 < len(identity) <= MAX_TEXT:
                    return None
            elif type(identity) is not int and identity_path is not None:
                return None
            if label is not None and type(learned) not in as_they_are:
                learned = convert(learned)
        except (decode_error, KeyError, TypeError, AttributeError, OverflowError, DeadLetter):
            return None
        return new_event(Event, (identity, features, learned, None, 0))

    return read
