"""Copies the state of a live model, while the worker's loop waits.

Attributes are read one by one, by the names in `class_table`. Whoever reads an object's `__dict__`, as
pickling, copying and `vars` do, makes it slower for good: CPython then no longer keeps the
attributes where it finds them fastest (about a tenth for a linear model). The garbage collector's
list of what an object refers to shows that it has no other attributes, and leaves it as it is.

The copy is made of scalars, which cannot change, and of nodes: tuples that begin with a letter.

| node | of |
| --- | --- |
| `("d", kind, keys, values)` | a dict; `kind` is its class's name, with the factory where that is `float` or `int` |
| `("v", factory, keys, values)` | River's VectorDict |
| `("l", items)`, `("t", items)`, `("s", items)` | a list, a tuple, a set |
| `("q", length, items)` | a deque of at most so many |
| `("o", row, values)` | an object of a class in `class_table`; `row` counts the classes met |
| `("x", class, bytes)` | a statistic in Rust |
| `("a", array)` | a NumPy array |
| `("g", state)` | a NumPy RandomState |
| `("c", name)` | a function, a bound method or a class: code, which is never written but by name |
| `("r", number)` | an object met before: the one with this number |

Numbers are given to whatever can change, in the order of the first visits.
"""  # noqa: E501 - a table's rows cannot be broken

import gc
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

import numpy as np

from millstream.core.models.state_codec.class_table import OPAQUE, ROWS, VECTOR, ClassEntry

SCALARS: Final = frozenset(
    {
        *(type(None), bool, int, float, str, bytes),
        *(np.bool_, np.float64, np.float32, np.int64, np.int32, np.int8, np.uint8, np.uint32),
        *(np.uint64, np.int16, np.uint16, np.float16, np.str_),
    }
)
"""Types whose values cannot change and hold no others."""
FACTORIES: Final[dict[Any, str]] = {float: "float", int: "int"}
Node = Any
_MISSING: Final = object()


class NotPlainError(Exception):
    """The model holds something that has no plain form; it has to be pickled."""


class StateCapture:
    """One walk over a live model."""

    def __init__(self) -> None:
        self.classes: list[tuple[str, tuple[str, ...]]] = []
        """Class and names of attributes, by number."""
        self.opaque = False
        """Whether a part was met whose meaning only the same River release knows."""
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        self._seen: dict[int, int] = {}
        self._takers: dict[type, Callable[[Any], Node]] = {
            **dict.fromkeys((dict, Counter, OrderedDict, defaultdict), self._dict),
            list: lambda value: ("l", self._items(value)),
            set: lambda value: ("s", self._items(value)),
            deque: lambda value: ("q", value.maxlen, self._items(value)),
            VECTOR: self._vector,
            np.ndarray: self._array,
            np.random.RandomState: lambda value: ("g", value.get_state(legacy=False)),
            **dict.fromkeys(OPAQUE, self._opaque),
        }

    def take_all(self, model: Any) -> Node:
        """`take`, without pauses in which Python looks for garbage among all that is made here."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return self.take(model)
        finally:
            if collects:
                gc.enable()

    def take(self, value: Any) -> Node:
        """Copy a value, and whatever it holds. Raises NotPlainError."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is tuple:
            return ("t", self._items(value))
        number = self._seen.get(id(value))
        if number is not None:
            return ("r", number)
        row = ROWS.get(kind)
        if row is not None:
            self._seen[id(value)] = len(self._seen)
            return self._object(value, row)
        take = self._takers.get(kind)
        if take is None:
            return _code(value)
        self._seen[id(value)] = len(self._seen)
        return take(value)

    def _items(self, values: Iterable[Any]) -> list[Node]:
        items = list(values)
        if SCALARS.issuperset(map(type, items)):
            return items
        return [self.take(item) for item in items]

    def _object(self, obj: Any, row: ClassEntry) -> Node:
        try:
            values = row.get(obj)
        except AttributeError as error:
            raise NotPlainError(f"{row.name}: {error}") from error
        names = row.taken
        if row.optional:
            found = [(name, getattr(obj, name, _MISSING)) for name in row.optional]
            more = [(name, value) for name, value in found if value is not _MISSING]
            names += tuple(name for name, _ in more)
            values += tuple(value for _, value in more)
        if row.seeded and obj.seed is not None:
            raise NotPlainError(f"{row.name} draws from a seed of its own")
        # The usual case first: it refers to the values of its attributes, and to its class.
        known = len(values)
        if row.left_out or known < 2 or len(gc.get_referents(obj)) != known + 1:
            _check_nothing_else(obj, row, names, values)
        number = self._numbers.get((row.name, names))
        if number is None:
            number = self._numbers[row.name, names] = len(self.classes)
            self.classes.append((row.name, names))
        return ("o", number, self._items(values))

    def _dict(self, value: Any) -> Node:
        kind = type(value).__name__
        if type(value) is defaultdict and value.default_factory in FACTORIES:
            kind = f"{kind} {FACTORIES[value.default_factory]}"
        return ("d", kind, self._items(value), self._items(value.values()))

    def _vector(self, value: Any) -> Node:
        _, (content, factory, mask, _) = value.__reduce__()
        if mask is not None:
            raise NotPlainError("a VectorDict with a mask")
        name = None if factory is None else _qualified(type(factory))
        return ("v", name, self._items(content), self._items(content.values()))

    def _array(self, value: Any) -> Node:
        if value.dtype.hasobject or value.dtype.names:
            raise NotPlainError(f"an array of {value.dtype}")
        return ("a", value.copy(order="K"))

    def _opaque(self, value: Any) -> Node:
        self.opaque = True
        return ("x", OPAQUE[type(value)], value.__getstate__())


def code_name(value: Any) -> str | None:
    """Name a function, a bound method or a class; None for anything else."""
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return _qualified(value)
    if isinstance(value, MethodType):
        return f"bound {_qualified(value.__func__)}"
    return None


def _code(value: Any) -> Node:
    name = code_name(value)
    if name is None or "<lambda>" in name:
        raise NotPlainError(f"{_qualified(type(value))} has no plain form")
    return ("c", name)


def _qualified(value: Any) -> str:
    return f"{value.__module__}:{value.__qualname__}"


def _check_nothing_else(
    obj: object, row: ClassEntry, names: tuple[str, ...], values: tuple[Any, ...]
) -> None:
    """Check that an object has no attribute that the table does not know. Raises NotPlainError."""
    held = gc.get_referents(obj)  # the values of its attributes, and its class
    left_out = [name for name in row.left_out if hasattr(obj, name)] if row.left_out else []
    known = len(values) + len(left_out)
    if len(held) == known + 1 and (known != 1 or left_out or held[0] is values[0]):
        return
    # Or, if the object was once copied or unpickled, a dict of its attributes, and its class.
    if known and len(held) == 2 and type(held[0]) is dict and held[0].keys() == {*names, *left_out}:
        return
    raise NotPlainError(f"{row.name} has attributes that are not known here")
