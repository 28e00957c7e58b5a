"""Restores a state in JSON into a fresh model.

The fresh model comes from the same definition in the settings, so everything that is code (classes
to make, functions to call, factories of dicts) is there already; a snapshot holds data alone.
No object of a class is made here but by the model's own factories, so the settings alone decide
what the model is. Attributes are set one by one, which leaves it as fast as a fresh one.
An attribute that a later River has added keeps the value of the fresh model.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from millstream.core.models.state_codec.capture import FACTORIES, code_name
from millstream.core.models.state_codec.class_table import BY_NAME, MAKERS, OPAQUE, VECTOR
from millstream.core.models.state_codec.scalars import checked_dtype, scalar_from_json

_MISSING: Final = object()
_FACTORIES: Final = {f"defaultdict {name}": factory for factory, name in FACTORIES.items()}
_DICTS: Final[dict[str, type[dict[Any, Any]]]] = {
    kind.__name__: kind for kind in (dict, Counter, OrderedDict, defaultdict)
}
_OPAQUE: Final = {name: kind for kind, name in OPAQUE.items()}


class MisfitError(Exception):
    """The written state does not fit the fresh model."""


class StateRestorer:
    """One walk over a fresh model."""

    def __init__(self, classes: list[Any]) -> None:
        """`classes`: class and names of attributes, by number."""
        self._classes = classes
        self._made: list[Any] = []
        self._filled: set[int] = set()

    def put(self, node: Any, at: Any = _MISSING) -> Any:
        """Give back the value of a node; `at` is what the fresh model has in its place.

        Raises MisfitError, and any other error for JSON that was not written here.
        """
        if type(node) is not list:
            return node
        tag, *parts = node
        fill = self._FILL.get(tag)
        return scalar_from_json(tag, parts) if fill is None else fill(self, parts, at)

    def _keep(self, made: Any) -> Any:
        """Number what was made, before anything inside refers to it."""
        if id(made) in self._filled:
            raise MisfitError("two parts of the snapshot are one and the same in the settings")
        self._filled.add(id(made))
        self._made.append(made)
        return made

    def _again(self, parts: list[Any], _at: Any) -> Any:
        (number,) = parts
        return self._made[number]

    def _code(self, parts: list[Any], at: Any) -> Any:
        (name,) = parts
        if code_name(at) != name:
            raise MisfitError(f"the snapshot uses {name}, which the settings do not")
        return at

    # -- containers -----------------------------------------------------------------------------

    def _dict(self, parts: list[Any], at: Any, make: Callable[[], Any] | None = None) -> Any:
        kind, keys, values = parts
        if type(at) is not _DICTS[kind.partition(" ")[0]]:
            if kind in _FACTORIES:
                at = defaultdict(_FACTORIES[kind])
            elif kind == "defaultdict":
                raise MisfitError("the settings have no place for a dict of the snapshot")
            else:
                at = _DICTS[kind]()
        self._keep(at)
        make = make or getattr(at, "default_factory", None)
        keys = [self.put(key) for key in keys]
        items = {
            key: self._item(value, at, key, make) for key, value in zip(keys, values, strict=True)
        }
        if len(items) != len(keys):
            raise MisfitError("two keys of a dict are the same")
        if type(at) is OrderedDict:
            if list(at.items()) != list(items.items()):
                at.clear()
                at.update(items)
        else:
            at.clear()
            dict.update(at, items)  # a Counter's own `update` adds up
        return at

    def _item(self, node: Any, at: Any, key: Any, make: Callable[[], Any] | None) -> Any:
        if type(node) is not list:
            return node
        there = dict.get(at, key, _MISSING)
        if there is _MISSING and make is not None and node[0] in self._FILL:
            there = make()
        return self.put(node, there)

    def _vector(self, parts: list[Any], at: Any) -> Any:
        factory, keys, values = parts
        if type(at) is not VECTOR:
            if factory is not None:
                raise MisfitError("the settings have no place for a VectorDict of the snapshot")
            at = VECTOR()
        self._keep(at)
        items = zip(map(self.put, keys), map(self.put, values), strict=True)
        at.clear()
        at.update(dict(items))
        return at

    def _list(self, parts: list[Any], at: Any) -> Any:
        (nodes,) = parts
        made = self._keep(at if type(at) is list else [])
        made[:] = self._each(nodes, made)
        return made

    def _tuple(self, parts: list[Any], at: Any) -> Any:
        (nodes,) = parts
        made = tuple(self._each(nodes, at if type(at) is tuple else ()))
        if type(at) is tuple and len(at) == len(made) and all(map(_same, at, made)):
            return at
        return made

    def _each(self, nodes: list[Any], there: Any) -> list[Any]:
        return [
            self.put(node, there[i] if i < len(there) else _MISSING) for i, node in enumerate(nodes)
        ]

    def _set(self, parts: list[Any], at: Any) -> Any:
        (nodes,) = parts
        made = self._keep(at if type(at) is set else set())
        items = [self.put(node) for node in nodes]
        if made != set(items):
            made.clear()
            made.update(items)
        return made

    def _deque(self, parts: list[Any], at: Any) -> Any:
        length, nodes = parts
        fits = type(at) is deque and at.maxlen == length
        made: deque[Any] = self._keep(at if fits else deque(maxlen=length))
        items = [self.put(node) for node in nodes]
        made.clear()
        made.extend(items)
        return made

    # -- objects --------------------------------------------------------------------------------

    def _object(self, parts: list[Any], at: Any) -> Any:
        number, values = parts
        name, names = self._classes[number]
        row = BY_NAME.get(name)
        if row is None:
            raise MisfitError(f"{name} is not known here")
        unknown = set(names).difference(row.taken, row.optional)
        if unknown:
            raise MisfitError(f"{name}.{min(unknown)} is not known here")
        if type(at) is not row.kind:
            raise MisfitError(f"the snapshot has {name} where the settings do not")
        self._keep(at)
        for attribute, node in zip(names, values, strict=True):
            there = getattr(at, attribute, _MISSING)
            maker = MAKERS.get((row.kind, attribute))
            if maker is not None and type(node) is list and node[0] == "d":
                value = self._dict(node[1:], there, partial(maker, at))
            else:
                value = self.put(node, there)
            if value is not there:
                setattr(at, attribute, value)
        return at

    def _opaque(self, parts: list[Any], at: Any) -> Any:
        name, state = parts
        if type(at) is not _OPAQUE.get(name):
            raise MisfitError(f"the snapshot has {name} where the settings do not")
        self._keep(at)
        at.__setstate__(bytes.fromhex(state))
        return at

    def _array(self, parts: list[Any], _at: Any) -> Any:
        dtype, shape, order, content = parts
        flat = np.frombuffer(bytes.fromhex(content), checked_dtype(dtype))
        return self._keep(flat.reshape(shape, order=order).copy(order=order))

    def _random(self, parts: list[Any], at: Any) -> Any:
        kind, key, position, has_gauss, gauss = parts
        made = self._keep(at if type(at) is np.random.RandomState else np.random.RandomState())
        words = np.array(key, np.uint32)
        made.set_state((kind, words, position, has_gauss, self.put(gauss)))
        return made

    _FILL: ClassVar[dict[str, Callable[["StateRestorer", list[Any], Any], Any]]] = {
        "d": _dict,
        "v": _vector,
        "l": _list,
        "t": _tuple,
        "s": _set,
        "q": _deque,
        "o": _object,
        "x": _opaque,
        "a": _array,
        "g": _random,
        "c": _code,
        "r": _again,
    }


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) is not float and one == other)
