"""Codecs that settings of tests name."""

import struct
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from millstream.errors import Terminated


def packed(value: bytes) -> dict[str, Any]:
    """An id and one number, as 12 bytes."""
    identity, x = struct.unpack(">Id", value)
    return {"id": identity, "x": np.float64(x), "at": datetime(2026, 1, 1, tzinfo=UTC)}


def packed_label(value: bytes) -> dict[str, Any]:
    """An id and a flag, as 5 bytes."""
    identity, label = struct.unpack(">I?", value)
    return {"id": identity, "label": label}


def gives_a_list(_: bytes) -> Any:
    return [1]


def gives_a_set(_: bytes) -> dict[str, Any]:
    return {"id": 1, "x": {1.0}}


class Lazy(Mapping[str, Any]):
    """Reads its fields when they are asked for, and cannot."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(["id"])

    def __len__(self) -> int:
        return 1


def lazy(_: bytes) -> Lazy:
    return Lazy()


def exits(_: bytes) -> dict[str, Any]:
    sys.exit("no such message")


def is_stopped(value: bytes) -> dict[str, Any]:
    raise Terminated(143) if value == b"SIGTERM" else KeyboardInterrupt
