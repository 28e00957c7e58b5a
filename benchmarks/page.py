"""`RESULTS.md`, from the files of results."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.parts.part import Part
from benchmarks.results import Results

MILLION = 1e6
_HEAD = """\
# Results

How fast Millstream is beside what it is built on and beside others, as `make bench-all` found it.
Each ratio is the median over the rounds of two rates that were taken within minutes of each other,
and between which values it lay; a figure in events a second stands beside its ratio only to say
what the ratio is of, and is true of this machine in that hour. A run counts only if each event came
to exactly one prediction, and if both sides published the same fields and the same answers.

Broker, load, readers and whoever was measured shared the cores of one machine, and nothing was
replicated. [How it is measured, and the limits of that](README.md#method).

`python -m benchmarks --all --report` writes this page from the files beside the plots."""


def write_page(path: Path, folder: Path, found: Mapping[Part, Results]) -> None:
    """Write the page; `folder` has the plots."""
    blocks = [_HEAD, *_versions(found)]
    for part, results in found.items():
        plot = (folder / f"{part.name}.png").relative_to(path.parent)
        blocks += [f"## {part.title}", part.about, *_part(results)]
        if part.per_million:
            blocks.append(_per_million(results))
        blocks += [f"![{part.title}]({plot})", _when(results)]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _part(results: Results) -> Iterator[str]:
    if results.comparisons:
        yield _ratios(results)
    if results.latencies:
        yield _latencies(results)
    if rows := results.cost_per_row():
        yield _rows(rows)
    if results.memory:
        yield _memory(results)
    if results.failures:
        yield "Does not count:"
        yield "\n".join(f"- {name}: {reason}" for name, reason in results.failures.items())


def _ratios(results: Results) -> str:
    rates = {name: f"{median(each):,.0f}" for name, each in results.rates.items()}
    lines = [
        (
            ratio.comparison.of, ratio.comparison.to, f"**{ratio.value:.2f}**",
            f"{ratio.lowest:.2f} to {ratio.highest:.2f}", _floor(ratio.comparison.floor, ratio.met),
            f"{rates[ratio.comparison.of]} / {rates[ratio.comparison.to]}",
        )
        for ratio in results.ratios()
    ]  # fmt: skip
    return _table(("what", "to", "ratio", "rounds", "target", "events/s"), lines)


def _latencies(results: Results) -> str:
    """Ratios are those to the first."""
    first = next(iter(results.latencies))
    base = results.latency(first)
    lines = []
    for name in results.latencies:
        one = results.latency(name)
        limits = [limit for limit in results.limits if limit.name == name]
        targets = ", ".join(
            f"{limit.percentile} ≤ {limit.most:g}: "
            f"{'met' if getattr(one, limit.percentile) <= limit.most else 'NOT met'}"
            for limit in limits
        )
        ratio = f"**{one.p50 / base.p50:.1f}** / **{one.p99 / base.p99:.1f}**"
        figures = (f"{figure:.1f}" for figure in (one.p50, one.p99, one.p999, one.largest))
        lines.append((name, f"{results.loads[name]:,.0f}", ratio, *figures, targets))
    of_first = f"p50 / p99, by those of *{first}*"
    columns = ("what", "events/s", of_first, "p50, ms", "p99", "p99.9", "largest", "target")
    return _table(columns, lines)


def _rows(rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        (model, size, f"**{cost / sizes['1']:.4f}**", f"{cost:,.2f}")
        for model, sizes in rows.items()
        for size, cost in sizes.items()
    ]
    return _table(("static model", "rows a call", "cost a row, by one row a call", "µs"), lines)


def _memory(results: Results) -> str:
    lines = []
    for name, series in results.memory.items():
        quarter, (seconds, end) = series[len(series) // 4][1], series[-1]
        lines.append((name, f"**{end / quarter:.2f}**", f"{end:.0f}", f"{seconds:.0f}"))
    return _table(("what", "end, by a quarter in", "MB at the end", "seconds"), lines)


def _per_million(results: Results) -> str:
    each = [f"{MILLION / median(rates):.1f} ({name})" for name, rates in results.rates.items()]
    return f"Seconds for a million examples: {', '.join(each)}."


def _floor(floor: float | None, met: bool | None) -> str:  # noqa: FBT001 - the verdict on the floor
    return "" if floor is None else f"≥ {floor:g}: {'met' if met else 'NOT met'}"


def _versions(found: Mapping[Part, Results]) -> Iterator[str]:
    merged: dict[str, object] = {}
    for results in found.values():
        merged |= results.machine
    yield _table(("with", "version"), [(name, str(value)) for name, value in merged.items()])


def _when(results: Results) -> str:
    rounds = max((len(each) for each in [*results.rates.values(), *results.latencies.values()]),
                 default=1)  # fmt: skip
    return f"Measured {results.measured}, rounds: {rounds}."


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = " | ".join("---" for _ in columns)
    rows = [" | ".join(line) for line in (columns, *lines)]
    return "\n".join(f"| {row} |" for row in (rows[0], rule, *rows[1:]))
