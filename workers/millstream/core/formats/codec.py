"""Decoders of messages: JSON, or a function of the user's own.

The result of such a function is converted to JSON values: numbers of numpy are numbers, dates are
text, and what is not finite is missing. So no later step depends on where a record came from.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import orjson

from millstream.core.formats.json_fields import Document, decode
from millstream.errors import DeadLetter, Terminated

Codec = Callable[[bytes], Mapping[str, Any]]
"""The fields of a message's value, the same for the same bytes; what it raises is a dead letter."""
Codecs = Callable[[str], Codec]
"""The codec of a name in the settings."""
Decode = Callable[[bytes], Document]
"""Raises `DeadLetter`."""

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def no_codecs(name: str) -> NoReturn:
    """Refuse every codec, for readers of JSON alone."""
    raise ValueError(f"nobody said what the codec {name} is")


def decoder(name: str | None, codecs: Codecs) -> Decode:
    """Return the decoder of a codec; `name` None: of JSON."""
    if name is None:
        return decode
    codec = codecs(name)

    def read(value: bytes) -> Document:
        try:
            given = codec(value)
            # A mapping of its own class may raise only when it is read.
            fields = dict(given) if isinstance(given, Mapping) else None
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:  # sys.exit, or a panic of Rust, is the codec's error too
            raise DeadLetter("codec", type(error).__name__) from error
        if fields is None:
            raise DeadLetter("not_an_object", f"the codec gave a {type(given).__name__}")
        try:
            document: Document = orjson.loads(orjson.dumps(fields, option=_OPTIONS))
        except (TypeError, orjson.JSONDecodeError) as error:
            raise DeadLetter("codec", "it gave what JSON cannot hold") from error
        return document

    return read
