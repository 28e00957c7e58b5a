"""A River expression, such as `preprocessing.StandardScaler() | linear_model.Perceptron()`.

The text comes from a settings file, so it is never evaluated as code. It is parsed, and the tree
is walked by rules that allow what is needed to describe a model and nothing else:

- `module.Class`, where the module is one of `MODULES` and the class one that River makes public
  there; so nothing that River merely imports (`os`, `sys`) can be reached, and no attribute of a
  class or of an object. Modules that read files, use the network or run code are not listed.
- calls of those classes, with positional and keyword arguments;
- numbers, text, True, False, None, and lists, tuples, sets and dicts of what is allowed;
- `int`, `float`, `str` and `bool` as values, for `compose.SelectType(str)`;
- `|` and `+` between models.
"""

import ast
import difflib
import functools
import importlib
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from river import base, utils

from millstream.core.models.river.expression_limits import (
    MAX_INTEGER,
    Budget,
    TooMuchError,
    check_grid,
    check_size,
)
from millstream.errors import SettingsError

MODULES: Final = frozenset(
    {
        *("active", "anomaly", "bandit", "cluster", "compose", "conf", "covariance", "drift"),
        *("drift.binary", "dummy", "ensemble", "facto", "feature_extraction", "feature_selection"),
        *("forest", "imblearn", "linear_model", "metrics", "misc", "model_selection"),
        *("multiclass", "multioutput", "naive_bayes", "neighbors", "optim", "optim.initializers"),
        *("optim.losses", "optim.schedulers", "preprocessing", "proba", "reco", "rules", "sketch"),
        *("stats", "time_series", "tree", "tree.splitter", "utils"),
    }
)
"""River's modules of models, and of the parts that models are made of."""
FUNCTIONS: Final = {"utils.expand_param_grid": utils.expand_param_grid}
"""Functions of these modules that may be called; any other is refused."""
VALUE_TYPES: Final[dict[str, type]] = {"int": int, "float": float, "str": str, "bool": bool}

MAX_LENGTH: Final = 10_000
"""Characters of an expression."""
MAX_DEPTH: Final = 50
"""Expressions inside expressions."""
MAX_ITEMS: Final = 1_000
"""Items of one list, tuple, set or dict, and arguments of one call."""
MAX_TEXT: Final = 1_000
"""Characters of one text."""


def build(expression: str) -> base.Estimator:
    """Make the model that the expression describes; a fresh one on each call.

    Raises SettingsError where it is not a model, or says more than the rules above allow.
    """
    model = _Builder(expression).build()
    if inspect.isclass(model) and model not in VALUE_TYPES.values():
        raise SettingsError(f"model.river: {_unfinished(model)}")
    if not isinstance(model, base.Estimator):
        raise SettingsError(
            f"model.river: {_shorten(expression)} is not a model but of type {type(model).__name__}"
        )
    return model


@functools.cache
def public_names(module: str) -> dict[str, Any]:
    """List what an expression can name in one of `MODULES`: River's own public classes."""
    members = importlib.import_module(f"river.{module}")
    named = {name: getattr(members, name, None) for name in getattr(members, "__all__", ())}
    return {
        name: member
        for name, member in named.items()
        if f"{module}.{name}" in FUNCTIONS
        or (inspect.isclass(member) and member.__module__.startswith("river."))
    }


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> ast.Expression:
    """The tree of an expression; whoever walks it leaves it as it is.

    Once for each text: a snapshot is proved in a thread, which makes the model again, and where two
    threads come to parse at a time, CPython (3.11) may raise SystemError in either.
    """
    return ast.parse(text, mode="eval")


class _Builder:
    """Walks one expression."""

    def __init__(self, expression: str) -> None:
        # A YAML block may spread an expression over lines, which Python allows in brackets only.
        self._text = " ".join(expression.split("\n")).strip()
        self._budget = Budget()
        self._readers: dict[type[ast.expr], Callable[[Any, int], Any]] = {
            ast.Constant: self._constant,
            ast.UnaryOp: self._signed,
            ast.List: self._collection,
            ast.Tuple: self._collection,
            ast.Set: self._collection,
            ast.Dict: self._dict,
            ast.BinOp: self._joined,
            ast.Call: self._call,
            ast.Attribute: self._attribute,
            ast.Name: self._name,
        }

    def build(self) -> Any:
        if not self._text:
            raise SettingsError("model.river is empty: write a River expression")
        if len(self._text) > MAX_LENGTH:
            raise SettingsError(f"model.river is longer than {MAX_LENGTH} characters")
        try:
            tree = _parsed(self._text)
        except SyntaxError as error:
            raise SettingsError(f"model.river is not an expression: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise SettingsError("model.river is not an expression that can be read") from error
        return self._value(tree.body, 0)

    def _refuse(self, node: ast.AST, why: str) -> SettingsError:
        source = ast.get_source_segment(self._text, node) or type(node).__name__
        return SettingsError(f"model.river: {_shorten(source)}: {why}")

    def _value(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise SettingsError(f"model.river: nested more than {MAX_DEPTH} deep")
        read = self._readers.get(type(node))
        if read is None:
            raise self._refuse(node, f"{_spoken(node)} is not part of a River expression")
        return read(node, depth + 1)

    def _constant(self, node: ast.Constant, _depth: int) -> Any:
        value = node.value
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise self._refuse(node, f"text of more than {MAX_TEXT} characters")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise self._refuse(node, f"whole numbers go up to {MAX_INTEGER:,}")
        if value is not None and not isinstance(value, str | bool | int | float):
            raise self._refuse(node, f"{type(value).__name__} is not part of a River expression")
        return value

    def _signed(self, node: ast.UnaryOp, depth: int) -> Any:
        value = self._value(node.operand, depth)
        if type(value) in {int, float} and isinstance(node.op, ast.USub | ast.UAdd):
            return -value if isinstance(node.op, ast.USub) else value
        raise self._refuse(node, "only a number can have a sign")

    def _items(self, nodes: list[ast.expr], depth: int, whole: ast.expr) -> list[Any]:
        if len(nodes) > MAX_ITEMS:
            raise self._refuse(whole, f"more than {MAX_ITEMS} items")
        return [self._value(node, depth) for node in nodes]

    def _collection(self, node: ast.List | ast.Tuple | ast.Set, depth: int) -> Any:
        items = self._items(node.elts, depth, node)
        if isinstance(node, ast.Set):
            return self._hashed(node, lambda: set(items))
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _dict(self, node: ast.Dict, depth: int) -> Any:
        keys = [key for key in node.keys if key is not None]
        if len(keys) < len(node.keys):
            raise self._refuse(node, "** is not part of a River expression")
        names, values = self._items(keys, depth, node), self._items(node.values, depth, node)
        with self._bounded(node):  # it may be a grid of parameters
            for name, value in zip(names, node.values, strict=True):
                check_size(name, value)
        return self._hashed(node, lambda: dict(zip(names, values, strict=True)))

    def _hashed(self, node: ast.expr, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except TypeError as error:
            raise self._refuse(node, str(error)) from error

    def _joined(self, node: ast.BinOp, depth: int) -> Any:
        if not isinstance(node.op, ast.BitOr | ast.Add):
            raise self._refuse(node, "only | and + can stand between models")
        left, right = self._value(node.left, depth), self._value(node.right, depth)
        for part, side in ((left, node.left), (right, node.right)):
            if inspect.isclass(part):
                raise self._refuse(side, _unfinished(part))
            if not isinstance(part, base.Estimator):
                raise self._refuse(side, "only models can be joined by | and +")
        join = operator.or_ if isinstance(node.op, ast.BitOr) else operator.add
        return self._made(node, lambda: join(left, right))

    def _call(self, node: ast.Call, depth: int) -> Any:
        if isinstance(node.func, ast.Name):
            raise self._refuse(node, self._where(node.func.id))
        if not isinstance(node.func, ast.Attribute):
            raise self._refuse(node, "only River's classes can be called")
        make = self._attribute(node.func, depth)
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._refuse(node, "* is not part of a River expression")
        names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        if len(names) < len(node.keywords):
            raise self._refuse(node, "** is not part of a River expression")
        for name in names:
            self._check_keyword(node, make, name)
        parameters = inspect.signature(make).parameters
        given = dict(zip(parameters, node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        with self._bounded(node), self._budget.call(given, parameters):
            positional = self._items(node.args, depth, node)
            values = self._items([keyword.value for keyword in node.keywords], depth, node)
        keywords = dict(zip(names, values, strict=True))
        if make is FUNCTIONS["utils.expand_param_grid"]:
            with self._bounded(node):
                check_grid(keywords.get("grid", positional[-1] if positional else None))
        return self._made(node, lambda: make(*positional, **keywords))

    @contextmanager
    def _bounded(self, node: ast.expr) -> Iterator[None]:
        try:
            yield
        except TooMuchError as error:
            raise self._refuse(node, str(error)) from error

    def _check_keyword(self, node: ast.Call, make: Callable[..., Any], name: str) -> None:
        known = inspect.signature(make).parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        if name not in known and not takes_any:
            raise self._refuse(node, f"there is no parameter {name}{_nearest(name, known)}")

    def _made(self, node: ast.expr, make: Callable[[], Any]) -> Any:
        """Let River make an object; whatever it raises means that the settings are wrong."""
        try:
            return make()
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            raise self._refuse(node, f"River says {type(error).__name__}: {said}") from error

    def _name(self, node: ast.Name, _depth: int) -> Any:
        if node.id in VALUE_TYPES:
            return VALUE_TYPES[node.id]
        raise self._refuse(node, self._where(node.id))

    def _where(self, name: str) -> str:
        """Say where a bare name can be found."""
        if name in MODULES:
            return f"a module is not a model; write {name}. and the name of a class"
        homes = sorted(module for module in MODULES if name in public_names(module))
        if homes:
            return f"write {' or '.join(f'{home}.{name}' for home in homes)}"
        every = {known for module in MODULES for known in public_names(module)}
        return f"River has no class of that name{_nearest(name, every)}"

    def _attribute(self, node: ast.Attribute, _depth: int) -> Any:
        *path, name = self._path(node)
        module = ".".join(path)
        if f"{module}.{name}" in MODULES or (not module and name in MODULES):
            raise self._refuse(node, "a module is not a model")
        if module not in MODULES:
            outer = ".".join(path[:-1])
            if outer in MODULES and path[-1] in public_names(outer):
                raise self._refuse(node, "attributes of a class are not read")
            raise self._refuse(
                node,
                f"River has no module of models {module or name}"
                f"{_nearest(module or name, MODULES)}",
            )
        members = public_names(module)
        if name not in members:
            raise self._refuse(
                node, f"River's {module} has no class {name}{_nearest(name, members)}"
            )
        return members[name]

    def _path(self, node: ast.expr) -> list[str]:
        """Names of a dotted path, without a leading `river`."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise self._refuse(node, "attributes of an object are not read")
        names = [*names, node.id][::-1]
        return names[1:] if names[0] == "river" else names


_SPOKEN: Final = {
    ast.Await: "an await",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Starred: "*",
    ast.IfExp: "a condition",
    ast.BoolOp: "a condition",
    ast.Compare: "a comparison",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
}


def _spoken(node: ast.AST) -> str:
    """Name a piece of Python as a person would."""
    return _SPOKEN.get(type(node), f"a {type(node).__name__.lower()}")


def _unfinished(kind: type) -> str:
    return f"write {kind.__name__}() with parentheses, for a model and not its class"


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {found[0]}?" if found else ""


def _shorten(source: str) -> str:
    return source if len(source) <= 80 else f"{source[:77]}..."
