"""Which package may import which: a layer knows what stands below it, and no sibling.

Read from the source, as `test_architecture` does.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workers" / "millstream"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("evaluation", "testing", "faust"),
    ("memory", "worker"),
    ("runners.faust",),
    ("runners.confluent", "runners.memory"),
    ("runners",),
    ("operations", "checks", "delivery"),
    ("state",),
    ("snapshots",),
    ("observability",),
    ("kafka", "artifacts", "sources", "disk_store", "supervisor", "monitoring"),
    ("config",),
    ("core",),
    ("_failpoints", "_versions"),
    ("errors",),
)
"""From top to bottom. `runners` alone stands for the files that its packages share."""

CORE_LAYERS: tuple[tuple[str, ...], ...] = (
    ("processing",),
    ("snapshots",),
    ("join",),
    ("models",),
    ("formats", "models.state_codec"),
    ("records", "models.river", "models.scikit_learn", "monitoring"),
    ("models.interface", "models.river_fastpath", "spec", "circuit_breaker"),
)
"""The same, inside of `core`. `models` alone stands for the files directly in it."""

FREE = {""}
"""`millstream/__init__.py` names the public API, and imports it when it is asked for."""

EXEMPTIONS: dict[str, set[str]] = {}
"""Module to what it may import although the layers forbid it: each with its reason."""

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "confluent_kafka": (
        "kafka", "delivery", "state", "runners.confluent", "runners.faust",
        "operations", "checks", "observability", "cli",
    ),
    "river": ("core.models", "core.monitoring", "artifacts", "sources", "monitoring"),
    "sklearn": ("core.models", "core.monitoring", "artifacts", "sources", "monitoring"),
    "prometheus_client": ("observability", "supervisor"),
    "typer": ("cli",),
    "rich": ("cli",),
    "faust": ("runners.faust",),
}  # fmt: skip
"""Library to the packages that may import it."""


def module_of(path: Path) -> str:
    """The dotted name of a file below `millstream`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """What is imported, as dotted names; of our own modules, the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                known = full.removeprefix("millstream.") in MODULES
                yield full if known else str(node.module)


def own(tree: ast.AST) -> set[str]:
    """Our own modules among the imports, without `millstream.`."""
    return {
        name.removeprefix("millstream").removeprefix(".")
        for name in imported(tree)
        if name == "millstream" or name.startswith("millstream.")
    }


def layer(module: str, layers: tuple[tuple[str, ...], ...]) -> tuple[int, str] | None:
    """The height of a module's layer, 0 at the top, and its package; the longest name counts."""
    found: tuple[int, str] | None = None
    for height, packages in enumerate(layers):
        for package in packages:
            inside = module == package or module.startswith(f"{package}.")
            if inside and (found is None or len(package) > len(found[1])):
                found = height, package
    return found


def forbidden(module: str, imports: set[str], layers: tuple[tuple[str, ...], ...]) -> set[str]:
    """What a module imports although it stands no lower."""
    mine = layer(module, layers)
    if mine is None:
        return {f"{module} belongs to no layer"}
    bad = set()
    for name in imports:
        theirs = layer(name, layers)
        if theirs is None:
            bad.add(f"{name} belongs to no layer")
        elif theirs != mine and theirs[0] <= mine[0]:
            bad.add(name)
    return bad


def violations(layers: tuple[tuple[str, ...], ...], below: str = "") -> dict[str, set[str]]:
    """Module to what it must not import; `below`: only what lies in that package."""
    found = {}
    for module, path in MODULES.items():
        if module in FREE or module == below.rstrip(".") or not module.startswith(below):
            continue
        imports = own(ast.parse(path.read_text("utf-8")))
        inside = {n.removeprefix(below) for n in imports if n.startswith(below)} - {"", "core"}
        bad = forbidden(module.removeprefix(below), inside, layers)
        bad -= EXEMPTIONS.get(module, set())
        if bad:
            found[module] = bad
    return found


def test_a_layer_imports_only_what_stands_below_it() -> None:
    assert violations(LAYERS) == {}


def test_inside_of_the_core_as_well() -> None:
    assert violations(CORE_LAYERS, "core.") == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_known_where_the_list_allows_it(library: str) -> None:
    found = set()
    for module, path in MODULES.items():
        names = imported(ast.parse(path.read_text("utf-8")))
        if any(name == library or name.startswith(f"{library}.") for name in names):
            allowed = LIBRARIES[library]
            if not any(module == a or module.startswith(f"{a}.") for a in allowed):
                found.add(module)
    assert found - LIBRARY_EXEMPTIONS.get(library, set()) == set()


LIBRARY_EXEMPTIONS: dict[str, set[str]] = {
    # The demo counts with River's own metrics, so that its figures are River's.
    "river": {"cli.commands.demo", "cli.demo_screen"},
    # Whoever starts a worker gives it a registry.
    "prometheus_client": {"worker", "runners.faust.attach", "cli.commands.run"},
}
"""Library to the modules that may import it all the same: each with its reason."""


@pytest.mark.parametrize(
    ("module", "imports", "bad"),
    [
        ("config.settings", {"kafka.topics"}, {"kafka.topics"}),
        ("kafka.topics", {"config.settings", "errors"}, set()),
        ("operations.audit", {"checks.keys"}, {"checks.keys"}),
        ("operations.audit", {"operations.rebuild"}, set()),
        ("runners.batch_size", {"runners.memory.worker"}, {"runners.memory.worker"}),
        ("runners.memory.worker", {"runners.batch_size"}, set()),
        ("unheard_of", set(), {"unheard_of belongs to no layer"}),
    ],
)
def test_the_rule_finds_what_it_forbids(module: str, imports: set[str], bad: set[str]) -> None:
    assert forbidden(module, imports, LAYERS) == bad
