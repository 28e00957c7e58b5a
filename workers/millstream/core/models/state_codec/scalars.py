"""Scalars in JSON, exact to the last bit and with their types.

JSON has its own form for None, booleans, text, finite floats (the shortest digits that read back
as the same bits) and integers of 64 bits. Any other is a list of a letter and text:
`["f", bits]` a NaN or an infinity, `["i", digits]` a larger integer, `["u", hex]` text that is not
valid Unicode, `["b", hex]` bytes, `["n", dtype, hex]` a scalar of NumPy.
"""

import struct
from math import isfinite
from typing import Any, Final

import numpy as np

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1


def scalar_to_json(value: Any) -> Any:
    """Write one scalar; see the top of this file."""
    kind = type(value)
    if kind is float:
        return value if isfinite(value) else ["f", struct.pack(">d", value).hex()]
    if kind is str:
        return value if _is_unicode(value) else ["u", value.encode("utf-8", "surrogatepass").hex()]
    if kind is int:
        return value if _SMALLEST <= value <= _LARGEST else ["i", str(value)]
    if kind is bytes:
        return ["b", value.hex()]
    if isinstance(value, np.generic):
        array = np.asarray(value)
        return ["n", array.dtype.str, array.tobytes().hex()]
    return value


def scalar_from_json(tag: str, parts: list[Any]) -> Any:
    """Read what `scalar_to_json` wrote as a list. Raises ValueError."""
    if tag == "n":
        dtype, content = parts
        return np.frombuffer(bytes.fromhex(content), checked_dtype(dtype))[0]
    (text,) = parts
    if tag == "f":
        return struct.unpack(">d", bytes.fromhex(text))[0]
    if tag == "i":
        return int(text)
    if tag == "u":
        return bytes.fromhex(text).decode("utf-8", "surrogatepass")
    if tag == "b":
        return bytes.fromhex(text)
    raise ValueError(f"no scalar is written as {tag!r}")


def checked_dtype(name: str) -> np.dtype[Any]:
    """Find the dtype of plain numbers or text. Raises ValueError for any other."""
    dtype = np.dtype(name)
    if dtype.kind not in "biufcU":
        raise ValueError(f"no array of {name} is written")
    return dtype


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
