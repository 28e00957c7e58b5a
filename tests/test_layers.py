"""Which package may import which: a layer knows what stands below it, and no sibling.

Read from the source, as `test_architecture` does. Until the files have moved, `TARGETS` says to
which package each of today's modules belongs.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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

TARGETS: Mapping[str, str] = {
    "arrivals": "sources.arrivals",
    "batch_histogram": "observability.batch_histogram",
    "cli.audit": "cli.commands.audit",
    "cli.check": "cli.commands.check",
    "cli.common": "cli.console",
    "cli.dead_letters": "cli.commands.dead_letters",
    "cli.dead_letters_replay": "cli.dead_letter_plan",
    "cli.dead_letters_show": "cli.dead_letter_tables",
    "cli.demo": "cli.commands.demo",
    "cli.demo_score": "cli.demo_screen",
    "cli.evaluate": "cli.commands.evaluate",
    "cli.looking": "cli.read_only",
    "cli.publish": "cli.producer",
    "cli.rebuild": "cli.commands.rebuild",
    "cli.run": "cli.commands.run",
    "cli.send": "cli.commands.send",
    "cli.send_labels": "cli.label_sender",
    "cli.snapshots": "cli.commands.snapshots",
    "cli.state": "cli.commands.state",
    "cli.stopping": "cli.signals",
    "cli.tail": "cli.commands.tail",
    "cli.topics": "cli.commands.topics",
    "cli.working": "cli.worker_process",
    "core.at_max": "core.join.capacity",
    "core.attempts": "core.records.crash_markers",
    "core.audit": "core.records.audit",
    "core.decoding": "core.formats.codec",
    "core.digest": "core.models.interface.state_digest",
    "core.event": "core.records.event",
    "core.events": "core.formats.events",
    "core.examples": "core.processing.training_log",
    "core.features": "core.formats.features",
    "core.fields": "core.formats.json_fields",
    "core.fold": "core.processing.replay",
    "core.join": "core.join.join",
    "core.labels": "core.formats.labels",
    "core.late": "core.processing.delayed_labels",
    "core.letters": "core.records.dead_letters",
    "core.marks": "core.join.replay_points",
    "core.merge": "core.join.merge",
    "core.models.answers": "core.models.interface.answers",
    "core.models.build": "core.models.factory",
    "core.models.codecs": "core.models.state_codec",
    "core.models.codecs.codec": "core.models.state_codec.codec",
    "core.models.codecs.errors": "core.models.state_codec.errors",
    "core.models.codecs.filling": "core.models.state_codec.restore",
    "core.models.codecs.table": "core.models.state_codec.class_table",
    "core.models.codecs.taking": "core.models.state_codec.capture",
    "core.models.codecs.unpickling": "core.models.state_codec.safe_pickle",
    "core.models.codecs.values": "core.models.state_codec.scalars",
    "core.models.codecs.writing": "core.models.state_codec.json_form",
    "core.models.expression": "core.models.river.expression",
    "core.models.expression_limits": "core.models.river.expression_limits",
    "core.models.learner": "core.models.interface.learner",
    "core.models.made": "core.models.fingerprint",
    "core.models.own": "core.models.checked_learner",
    "core.models.river_base": "core.models.river.learner",
    "core.models.river_calls": "core.models.river_fastpath.pipeline",
    "core.models.river_forest": "core.models.river_fastpath.forest",
    "core.models.river_kind": "core.models.river.classify",
    "core.models.river_learner": "core.models.river.kinds",
    "core.models.river_probe": "core.models.river.traits",
    "core.models.river_scaled_linear": "core.models.river_fastpath.scaled_linear",
    "core.models.river_steps": "core.models.river_fastpath.steps",
    "core.models.seeds": "core.models.reproducibility",
    "core.models.sklearn_incremental": "core.models.scikit_learn.incremental",
    "core.models.sklearn_learner": "core.models.scikit_learn.static",
    "core.notes": "core.processing.settings_history",
    "core.offsets": "core.processing.offset_set",
    "core.outputs": "core.records.outputs",
    "core.quality": "core.monitoring.quality",
    "core.raised": "core.records.model_errors",
    "core.records": "core.records.record",
    "core.schema": "core.formats.json_schema",
    "core.shard": "core.processing.partition_processor",
    "core.snapshot": "core.snapshots.snapshot",
    "core.snapshot_chunks": "core.snapshots.chunks",
    "core.snapshot_log": "core.snapshots.manifest",
    "core.snapshot_seal": "core.snapshots.envelope",
    "core.usual": "core.formats.fast_events",
    "core.waiting": "core.join.pending_store",
    "health": "observability.health",
    "label_messages": "sources.label_mapping",
    "loading": "artifacts.loader",
    "logs": "observability.logs",
    "messages": "sources.event_mapping",
    "metrics": "observability.metrics",
    "metrics_clients": "observability.client_metrics",
    "metrics_counted": "observability.outcome_counters",
    "metrics_registry": "observability.registry",
    "runners.at_least_once": "delivery.at_least_once",
    "runners.audit": "operations.audit",
    "runners.batch": "delivery.batch",
    "runners.bounded": "kafka.call_timeout",
    "runners.breaker": "core.circuit_breaker",
    "runners.broken": "runners.poison_examples",
    "runners.client_checks": "checks.clients",
    "runners.clients": "kafka.client_config",
    "runners.committed": "kafka.committed_offsets",
    "runners.confluent": "runners.confluent.worker",
    "runners.dead_letters": "operations.dead_letter_reader",
    "runners.early": "kafka.producer_warmup",
    "runners.ends": "runners.confluent.end_offsets",
    "runners.exactly_once": "delivery.exactly_once",
    "runners.failpoints": "_failpoints",
    "runners.faust_attach": "runners.faust.attach",
    "runners.faust_consumer": "runners.faust.consumer",
    "runners.faust_kafka": "runners.faust.security",
    "runners.faust_run": "runners.faust.program",
    "runners.faust_service": "runners.faust.service",
    "runners.feed": "runners.faust.bridge",
    "runners.feed_lots": "runners.faust.partition_buffer",
    "runners.find_predictions": "operations.prediction_search",
    "runners.findings": "checks.finding",
    "runners.flow": "runners.confluent.flow_control",
    "runners.group_offsets": "kafka.group_offsets",
    "runners.hanging": "delivery.hanging_transactions",
    "runners.kept": "state.retained_store",
    "runners.key_checks": "checks.keys",
    "runners.log_bounds": "kafka.watermarks",
    "runners.log_tail": "kafka.log_scan",
    "runners.logs_reader": "kafka.log_reader",
    "runners.looking": "operations.read_only",
    "runners.lost_logs": "state.log_gaps",
    "runners.membership": "runners.confluent.group_membership",
    "runners.memory": "runners.memory.worker",
    "runners.memory_logs": "runners.memory.broker",
    "runners.no_answer": "kafka.connection_errors",
    "runners.note_checks": "checks.model",
    "runners.outage": "observability.broker_probe",
    "runners.pace": "runners.batch_size",
    "runners.partition": "state.partition",
    "runners.partitioners": "kafka.partitioners",
    "runners.past": "operations.point_in_time",
    "runners.pieces": "runners.chunk_size",
    "runners.properties": "config.kafka_properties",
    "runners.publish": "delivery.publisher",
    "runners.publishing": "runners.confluent.commits",
    "runners.quarantine": "runners.confluent.poison_records",
    "runners.rebuild": "operations.rebuild",
    "runners.recorded": "operations.topic_source",
    "runners.replay": "operations.dead_letter_replay",
    "runners.rest": "delivery.commit_backoff",
    "runners.restore": "state.restore",
    "runners.restore_snapshot": "state.snapshot_search",
    "runners.restorer": "state.restore_context",
    "runners.sample_checks": "checks.samples",
    "runners.slot": "kafka.transactional_id",
    "runners.snapshot_checks": "checks.snapshot_store",
    "runners.snapshot_shelf": "operations.snapshot_catalog",
    "runners.snapshot_topic": "kafka.confirmed_writer",
    "runners.snapshot_writer": "state.snapshot_writer",
    "runners.snapshots": "state.snapshot_scheduler",
    "runners.spans": "observability.tracing",
    "runners.stalls": "runners.faust.stall_detector",
    "runners.state": "operations.partition_state",
    "runners.topic_checks": "checks.topics",
    "runners.topics": "kafka.topics",
    "runners.topics_note": "state.topic_identity",
    "runners.tracing": "observability.otel",
    "runners.watch": "runners.confluent.reporting",
    "scoring": "monitoring.scores",
    "settings": "config.settings",
    "settings_errors": "config.error_messages",
    "settings_file": "config.yaml_file",
    "settings_rules": "config.validation",
    "sources": "sources.readers",
    "stores": "disk_store",
    "stores.disk": "disk_store.store",
    "stores.entries": "disk_store.record_format",
    "stores.fifo": "disk_store.fifo_queue",
    "stores.indexed_file": "disk_store.indexed_file",
    "stores.runs": "disk_store.sorted_runs",
    "stores.segments": "disk_store.segment_file",
    "stores.snapshot_files": "state.snapshot_files",
    "stores.table": "disk_store.hash_table",
    "supervisor.answers": "supervisor.aggregation",
    "supervisor.child": "supervisor.control_channel",
    "versions": "_versions",
}
"""Module of today to where it goes."""

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
        target = TARGETS.get(module, module)
        if module in FREE or target in {below.rstrip(".")} or not target.startswith(below):
            continue
        imports = {TARGETS.get(name, name) for name in own(ast.parse(path.read_text("utf-8")))}
        inside = {n.removeprefix(below) for n in imports if n.startswith(below)} - {"", "core"}
        bad = forbidden(target.removeprefix(below), inside, layers)
        bad -= EXEMPTIONS.get(target, set())
        if bad:
            found[target] = bad
    return found


def test_a_layer_imports_only_what_stands_below_it() -> None:
    assert violations(LAYERS) == {}


def test_inside_of_the_core_as_well() -> None:
    assert violations(CORE_LAYERS, "core.") == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_known_where_the_list_allows_it(library: str) -> None:
    found = set()
    for module, path in MODULES.items():
        target = TARGETS.get(module, module)
        names = imported(ast.parse(path.read_text("utf-8")))
        if any(name == library or name.startswith(f"{library}.") for name in names):
            allowed = LIBRARIES[library]
            if not any(target == a or target.startswith(f"{a}.") for a in allowed):
                found.add(target)
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
