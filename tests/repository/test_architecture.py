"""What the design forbids, read from the source: no file has to be imported for it.

Each rule is a function from a parsed file to what breaks it; at the end, each rule is tried on
source that breaks it.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workers" / "millstream"
FILES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in FILES if path.is_relative_to(PACKAGE / "core")]
RUNNERS = [path for path in FILES if path.is_relative_to(PACKAGE / "runners")]
Rule = Callable[[ast.Module], list[str]]

# fmt: off
CORE_MAY_IMPORT = {
    "__future__", "abc", "ast", "base64", "bisect", "collections", "contextlib", "copy", "copyreg",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib",
    "heapq", "hmac", "inspect", "itertools", "math", "numbers", "operator", "re", "statistics",
    "string", "struct", "types", "typing", "warnings",
    "jsonschema_rs", "numpy", "orjson", "pydantic", "river", "sklearn",
    "millstream.core", "millstream.errors",
}
# fmt: on
"""What has no disk, network, clock, environment or log behind it, or has and is not used for it:
the clocks in `datetime` and the file functions in `numpy` are forbidden by name below."""

FORBIDDEN_CALLS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
CLOCKS = {"now", "today", "utcnow"}
NUMPY_FILES = {"fromfile", "genfromtxt", "load", "loadtxt", "memmap", "save", "savetxt", "savez"}
RIVER_DISK = {"datasets", "stream"}
MOST_LINES = 300
MOST_FUNCTION_LINES = 60
MOST_FILES = 12
MAY_BE_LONG = {
    "core/models/river/expression.py": "the grammar and its evaluation share every rule",
}
"""File to why it has more than `MOST_LINES` lines."""
MAY_BE_LONG_FUNCTIONS: dict[str, list[str]] = {}
"""File to its functions with more than `MOST_FUNCTION_LINES` lines: each with its reason."""
MAY_HAVE_MANY_FILES: dict[str, str] = {}
"""Folder to why it has more than `MOST_FILES` files."""
MAY_IMPORT_BY_NAME = {
    # River's own modules, from a fixed list of names, when an expression first needs one.
    "core/models/river/expression.py": ["importlib"],
    # Bytes in memory alone, and the names of classes that pickles may name.
    "core/models/state_codec/codec.py": ["pickle"],
    "core/models/state_codec/safe_pickle.py": ["pickle", "io.BytesIO", "random.Random"],
    # Asked what an object refers to; nothing is collected by it.
    "core/models/state_codec/capture.py": ["gc"],
}
"""File to what it imports beyond `CORE_MAY_IMPORT`: each with its reason."""
MAY_CATCH_EVERYTHING = {
    # Asks whether a method does anything at all; one that raises does.
    "core/models/river/traits.py": ["return True"],
    # A model that raises at a snapshot's probe has to raise the same when the snapshot is read.
    "core/snapshots/snapshot.py": ["answer = {'raises': type(error).__name__}"],
    "kafka/call_timeout.py": ["self._raised.append(error)"],  # raised again, in the caller's thread
    # A vectorised call that fails is made again row by row, and there the error is dead-lettered.
    "core/processing/inline_labels.py": [
        "return [self._answer_or_dead_letter(row) for row in rows]"
    ],
}
"""File to the first statements of handlers that go on after any error: each with its reason."""


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, and what is imported from it, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def under(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def impure_imports(tree: ast.Module) -> list[str]:
    allowed = [n for n in imports(tree) if any(under(n, module) for module in CORE_MAY_IMPORT)]
    disk = {f"river.{name}" for name in RIVER_DISK}
    return [n for n in imports(tree) if n not in allowed or any(under(n, d) for d in disk)]


def impure_names(tree: ast.Module) -> list[str]:
    """Find forbidden builtins, clocks of `datetime` and file functions of numpy."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS:
            found.append(node.id)
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if owner in {"datetime", "date", "dt"} and node.attr in CLOCKS:
                found.append(ast.unparse(node))
            if owner in {"np", "numpy"} and node.attr in NUMPY_FILES:
                found.append(ast.unparse(node))
    return found


def learning_imports(tree: ast.Module) -> list[str]:
    return [n for n in imports(tree) if under(n, "river") or under(n, "sklearn")]


def environment_reads(tree: ast.Module) -> list[str]:
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    used = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in names
    ]
    return used + [name for name in imports(tree) if name in {f"os.{n}" for n in names}]


def swallowed_errors(tree: ast.Module) -> list[str]:
    """First statement of each handler of every error that does not raise."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {"" if kind is None else ast.unparse(kind) for kind in types}
        broad = names & {"", "Exception", "BaseException"}
        if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            found.append(ast.unparse(node.body[0]))
    return found


def long_functions(tree: ast.Module) -> list[str]:
    """Find functions with more lines than allowed, decorators not counted."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MOST_FUNCTION_LINES
    ]


def long_files(lines: dict[str, int]) -> set[str]:
    """Find files with more lines than allowed, from file to its number of lines."""
    return {name for name, count in lines.items() if count > MOST_LINES}


def crowded_folders(files: list[Path]) -> set[str]:
    """Find folders with more files than allowed, not counting `__init__.py`."""
    counts = Counter(str(path.parent) for path in files if path.name != "__init__.py")
    return {folder for folder, count in counts.items() if count > MOST_FILES}


EXEMPTION = re.compile(r"#\s*(?:ruff:\s*)?noqa\b|#\s*type:\s*ignore\b")
EXPLAINED = re.compile(
    r"# (?:ruff: )?noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* - \S|# type: ignore\[[a-z, -]+\] # \S"
)


def unexplained_exemptions(source: str) -> list[str]:
    """Comments by which a line asks ruff or mypy to look away, and does not say why."""
    if not EXEMPTION.search(source):
        return []
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    return [c for c in comments if EXEMPTION.search(c) and not EXPLAINED.search(c)]


PROCESSORS = {"PartitionProcessor", "InlineLabelProcessor", "DelayedLabelProcessor"}


def processor_classes_asked(tree: ast.Module) -> list[str]:
    """Tests of a processor's class, where its interface has to answer."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"isinstance", "issubclass", "type"}
        and any(
            getattr(inner, "id", getattr(inner, "attr", "")) in PROCESSORS
            for inner in ast.walk(node)
        )
    ]


def broken(rule: Rule, files: list[Path]) -> dict[str, list[str]]:
    """File to what breaks the rule in it, for the files that break it."""
    assert files, "the rule was asked of no file"
    found = {
        str(path.relative_to(PACKAGE)): rule(ast.parse(path.read_text(encoding="utf-8")))
        for path in files
    }
    return {name: offences for name, offences in found.items() if offences}


def test_core_imports_nothing_with_a_side_effect() -> None:
    assert broken(impure_imports, CORE) == MAY_IMPORT_BY_NAME


def test_core_calls_nothing_with_a_side_effect_and_no_clock() -> None:
    assert broken(impure_names, CORE) == {}


def test_no_runner_knows_a_learning_library() -> None:
    assert broken(learning_imports, RUNNERS) == {}


def test_one_file_reads_the_environment() -> None:
    assert (
        broken(environment_reads, [p for p in FILES if p != PACKAGE / "config" / "environment.py"])
        == {}
    )


def test_whoever_catches_every_error_raises_one() -> None:
    assert broken(swallowed_errors, FILES) == MAY_CATCH_EVERYTHING


def test_only_the_core_knows_the_class_of_a_processor() -> None:
    assert broken(processor_classes_asked, [path for path in FILES if path not in CORE]) == {}


def test_no_file_is_long() -> None:
    lines = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    assert long_files(lines) == set(MAY_BE_LONG)


def test_no_function_is_long() -> None:
    assert broken(long_functions, FILES) == MAY_BE_LONG_FUNCTIONS


def test_no_folder_is_crowded() -> None:
    files = [path.relative_to(PACKAGE) for path in FILES]
    assert crowded_folders(files) == set(MAY_HAVE_MANY_FILES)


def test_lines_and_files_are_counted_up_to_the_limit() -> None:
    assert long_files({"a.py": MOST_LINES, "b.py": MOST_LINES + 1}) == {"b.py"}
    full = [Path("a", f"{n}.py") for n in range(MOST_FILES)]
    assert crowded_folders([*full, Path("a", "__init__.py"), Path("a", "b", "0.py")]) == set()
    assert crowded_folders([*full, Path("a", "more.py")]) == {"a"}


def test_every_exemption_from_a_rule_of_the_linters_says_why() -> None:
    files = [p for f in ("workers", "tests", "benchmarks", "examples")
             for p in (ROOT / f).rglob("*.py")]  # fmt: skip
    found = {
        str(path.relative_to(ROOT)): unexplained_exemptions(path.read_text(encoding="utf-8"))
        for path in files
    }
    assert {name: comments for name, comments in found.items() if comments} == {}


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("# noqa: S311 - no secret", True),
        ("# noqa: FBT001, FBT002 - the signature is PyYAML's", True),
        ("# type: ignore[misc] # a default binds it", True),
        ("# fmt: skip", True),
        ("# noqa", False),
        ("# noqa: S311", False),
        ("#noqa:S311", False),
        ("# ruff: noqa: S311", False),
        ("# type: ignore[misc]", False),
        ("# type: ignore # whatever it is", False),
    ],
)
def test_an_exemption_names_its_rule_and_its_reason(comment: str, *, explained: bool) -> None:
    assert (unexplained_exemptions(f"x = 1  {comment}\n") == []) == explained


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (impure_imports, "import os"),
        (impure_imports, "import time as t"),
        (impure_imports, "from pathlib import Path"),
        (impure_imports, "def f():\n    import logging"),
        (impure_imports, "from confluent_kafka import Consumer"),
        (impure_imports, "from millstream.config.settings import Settings"),
        (impure_imports, "from millstream import metrics"),
        (impure_imports, "from .. import metrics"),
        (impure_imports, "from river import datasets"),
        (impure_imports, "from river.stream import iter_csv"),
        (impure_names, "open('x')"),
        (impure_names, "f = print"),
        (impure_names, "eval('1')"),
        (impure_names, "__import__('os')"),
        (impure_names, "datetime.now()"),
        (impure_names, "datetime.datetime.utcnow()"),
        (impure_names, "date.today()"),
        (impure_names, "np.load('x')"),
        (learning_imports, "from river import linear_model"),
        (learning_imports, "import sklearn.base"),
        (environment_reads, "os.environ['X']"),
        (environment_reads, "from os import getenv"),
        (processor_classes_asked, "isinstance(x, DelayedLabelProcessor)"),
        (processor_classes_asked, "issubclass(type(x), (int, core.InlineLabelProcessor))"),
        (swallowed_errors, "try:\n    f()\nexcept Exception:\n    pass"),
        (swallowed_errors, "try:\n    f()\nexcept:\n    log()"),
        (swallowed_errors, "try:\n    f()\nexcept (KeyError, BaseException) as e:\n    log(e)"),
        (long_functions, "def f():\n" + "    x\n" * MOST_FUNCTION_LINES),
        (long_functions, "async def f():\n" + "    x\n" * MOST_FUNCTION_LINES),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: Rule, source: str) -> None:
    assert rule(ast.parse(source)) != []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (impure_imports, "from millstream.core.records.record import Record"),
        (impure_imports, "import numpy as np\nfrom river import base\nfrom typing import Any"),
        (impure_names, "def f(now):\n    return now + self.now"),
        (impure_names, "orjson.loads(b'')"),
        (processor_classes_asked, "DelayedLabelProcessor(plan)\nisinstance(x, int)"),
        (swallowed_errors, "try:\n    f()\nexcept Exception as e:\n    raise Stop from e"),
        (swallowed_errors, "try:\n    f()\nexcept KafkaException:\n    g()"),
        (long_functions, "def f():\n" + "    x\n" * (MOST_FUNCTION_LINES - 1)),
    ],
)
def test_a_rule_leaves_good_source_alone(rule: Rule, source: str) -> None:
    assert rule(ast.parse(source)) == []
