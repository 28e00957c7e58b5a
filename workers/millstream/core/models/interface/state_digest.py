"""A canonical SHA-256 of an object's state: equal if and only if the state is equal.

Pickles cannot be compared: equal models pickle to different bytes, since a pickle shows which
strings happen to be one object and in which order a set was hashed. Here the object graph is walked
in the order that `__reduce_ex__` gives it, and what is hashed is:

- numbers by type and exact bits (every NaN counts as the same one), text and bytes by content;
- dicts in their order, since sums of floats depend on it; sets and attributes of an object sorted,
  since nothing depends on those;
- arrays by dtype, shape and content;
- functions and classes by their qualified name;
- an object met again by the number of its first visit, so cycles end, and two names for one list
  differ from two equal lists. For immutable values that difference is left out.

The walk keeps its own stack, as models can be nested more deeply than Python may recurse.
"""

import copyreg
import hashlib
import itertools
import math
import struct
import types
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

_REDUCE_PROTOCOL: Final = 4
_FLUSH_BYTES: Final = 1 << 16
_NAN: Final = struct.pack("<d", math.nan)
_NO_STATE: Final[dict[str, set[str]]] = {
    "river.compose.pipeline:Pipeline": {
        "_plan",
        "_inference_transformers",
        "_last_step_cached",
        "_last_step_params",
    },
    "river.linear_model.bayesian_lin_reg:BayesianLinearRegression": {"_m_arr", "_m_dirty"},
    "river.cluster.clustream:CluStreamMicroCluster": {"_center"},
}
"""Attributes, by class, that are computed from others when they are first needed."""
_BY_FEATURE: Final[dict[str, set[str]]] = {
    "river.preprocessing.scale:StandardScaler": {"counts", "means", "vars"},
    "river.preprocessing.scale:AdaptiveStandardScaler": {"means", "vars"},
    "river.preprocessing.scale:MinMaxScaler": {"min", "max"},
    "river.preprocessing.scale:MaxAbsScaler": {"abs_max"},
    "river.preprocessing.scale:RobustScaler": {"median", "iqr"},
}
"""Attributes, by class, that hold something for each feature by itself: their order means nothing,
and looking a feature up for a prediction leaves an untouched entry behind, which says nothing."""


def digest(obj: object) -> str:
    """SHA-256 of the state of `obj`, as 64 hex digits.

    Raises TypeError where a part has no state that can be read (an open file, a lock).
    """
    return _Walk().run(obj).hex()


def _float_bits(value: float) -> bytes:
    return _NAN if math.isnan(value) else struct.pack("<d", value)


_SCALARS: Final[dict[type, tuple[bytes, Callable[[Any], bytes]]]] = {
    type(None): (b"N", lambda _: b""),
    type(...): (b".", lambda _: b""),
    bool: (b"b", lambda v: b"1" if v else b"0"),
    int: (b"i", lambda v: b"%x" % v),
    float: (b"f", _float_bits),
    complex: (b"c", lambda v: _float_bits(v.real) + _float_bits(v.imag)),
    str: (b"s", lambda v: v.encode("utf-8", "surrogatepass")),
    bytes: (b"y", bytes),
    bytearray: (b"Y", bytes),
    itertools.count: (b"#", lambda v: repr(v).encode()),
}
_NAMED: Final = (type, types.FunctionType, types.ModuleType)


def _qualified_name(obj: Any) -> str:
    return f"{getattr(obj, '__module__', '')}:{getattr(obj, '__qualname__', None) or obj.__name__}"


class _Text(NamedTuple):
    """Text to hash between the parts of an object."""

    text: str


class _Walk:
    """One walk over an object graph."""

    def __init__(self, visits: dict[int, int] | None = None) -> None:
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._stack: list[Any] = []
        self._visits = {} if visits is None else visits
        # Objects that the walk makes have to outlive it: the id() of a freed one is used again.
        self._kept: list[object] = []

    def run(self, obj: object) -> bytes:
        """Hash everything that can be reached from `obj`."""
        self._stack.append(obj)
        while self._stack:
            self._visit(self._stack.pop())
            if len(self._buffer) > _FLUSH_BYTES:
                self._flush()
        self._flush()
        return self._hash.digest()

    def _flush(self) -> None:
        self._hash.update(self._buffer)
        self._buffer.clear()

    def _write(self, tag: bytes, content: bytes) -> None:
        # The length makes the encoding unambiguous: no content can look like what follows it.
        self._buffer += b"%b%d:%b" % (tag, len(content), content)

    def _push(self, tag: bytes, parts: Iterable[Any]) -> None:
        self._stack += (reverse := list(parts)[::-1])
        self._buffer += b"%b%d:" % (tag, len(reverse))

    def _visit(self, obj: Any) -> None:
        kind = type(obj)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            self._write(scalar[0], scalar[1](obj))
        elif kind is tuple:
            self._push(b"t", obj)
        elif kind is _Text:
            self._write(b"g", obj.text.encode())
        elif isinstance(obj, _NAMED):
            self._write(b"g", _qualified_name(obj).encode())
        elif isinstance(obj, np.generic):
            self._visit_array(b"n", np.asarray(obj))
        elif kind is frozenset:
            self._visit_set(b"F", obj)
        elif (visit := self._visits.get(id(obj))) is not None:
            self._write(b"@", b"%d" % visit)
        else:
            self._visits[id(obj)] = len(self._visits)
            self._kept.append(obj)
            self._visit_mutable(obj)

    def _visit_mutable(self, obj: Any) -> None:
        kind = type(obj)
        if kind is dict:
            self._push(b"d", itertools.chain.from_iterable(obj.items()))
        elif kind is list:
            self._push(b"l", obj)
        elif kind is set:
            self._visit_set(b"S", obj)
        elif isinstance(obj, np.ndarray):
            self._visit_array(b"a", obj)
        elif isinstance(obj, np.random.RandomState):
            self._push(b"r", [_Text("RandomState"), obj.get_state(legacy=False)])
        elif isinstance(obj, np.random.BitGenerator):
            # Its pickle also holds the entropy it was once seeded from, which is not used again.
            self._push(b"r", [_Text("BitGenerator"), obj.state])
        else:
            self._visit_object(obj)

    def _visit_set(self, tag: bytes, obj: Iterable[Any]) -> None:
        self._push(tag, sorted(obj, key=self._by_itself))

    def _by_itself(self, element: Any) -> bytes:
        """Hash an element of a set; one that leads back to where the walk has been ends there."""
        return _Walk(self._visits.copy() if type(element) not in _SCALARS else None).run(element)

    def _visit_array(self, tag: bytes, array: Any) -> None:
        shape = str(array.shape)
        if array.dtype.names:  # field by field: between fields there may be unused bytes
            parts: list[Any] = [array[name] for name in array.dtype.names]
            self._push(tag, [_Text(str(array.dtype.descr)), shape, *parts])
        elif array.dtype.hasobject:
            self._push(tag, [_Text("object"), shape, array.ravel().tolist()])
        else:
            if array.dtype.kind == "f":
                array = np.where(np.isnan(array), array.dtype.type(math.nan), array)
            self._push(tag, [_Text(array.dtype.str), shape, array.tobytes()])

    def _visit_object(self, obj: Any) -> None:
        """Hash an object by what would be pickled of it."""
        reduce = copyreg.dispatch_table.get(type(obj))
        reduced = reduce(obj) if reduce else obj.__reduce_ex__(_REDUCE_PROTOCOL)
        if isinstance(reduced, str):
            self._write(b"g", f"{getattr(obj, '__module__', '')}:{reduced}".encode())
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        kind: Any = type(obj)
        if kind.__getstate__ is object.__getstate__:
            state = _attributes(_qualified_name(kind), state)
        elif isinstance(state, dict) and "_sklearn_version" in state:
            # The scikit-learn that reads the state, no part of the state.
            state = {name: each for name, each in state.items() if name != "_sklearn_version"}
        self._push(b"o", [make, arguments, state, list(items or ()), list(pairs or ())])


def _attributes(owner: str, state: Any) -> Any:
    """Pick the attributes of an object that are state, sorted by name.

    `state` is a dict of attributes, a pair of that (or None) and a dict of slots, or None.
    """
    if isinstance(state, tuple):
        return tuple(_attributes(owner, part) for part in state)
    if not isinstance(state, dict):
        return state
    left_out = _NO_STATE.get(owner, set())
    if owner.startswith("river.proba.") and state.get("seed", 0) is None:
        # Only `sample` draws from it. An unseeded one that is sampled cannot be reproduced anyway,
        # and naive Bayes and trees are full of distributions that never are.
        left_out = {"_rng"}
    by_feature = _BY_FEATURE.get(owner, set())
    return tuple(
        (name, _touched(state[name]) if name in by_feature else state[name])
        for name in sorted(state)
        if name not in left_out
    )


def _touched(entries: dict[Any, Any]) -> list[Any]:
    """Entries that differ from what a look-up would make, in an order of their own."""
    factory = getattr(entries, "default_factory", None)
    untouched = _Walk().run(factory()) if factory else None
    hashed = {_Walk().run(key): value for key, value in entries.items()}
    return [
        (key, value) for key, value in sorted(hashed.items()) if _Walk().run(value) != untouched
    ]
