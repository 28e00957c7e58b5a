"""Results as a person reads them."""

from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.results import Results


def show(results: Results, console: Console) -> None:
    """Print the tables: ratios before any absolute figure."""
    for table in (_ratios(results), _latencies(results), _rows(results), _memory(results)):
        if table.row_count:
            console.print(table)
    if results.rates:
        console.print(_rates(results))
    for name, reason in results.failures.items():
        console.print(f"does not count: {name}: {reason}", markup=False)
    console.print("; ".join(f"{name} {value}" for name, value in results.machine.items()),
                  style="dim")  # fmt: skip


def _ratios(results: Results) -> Table:
    title = "Rates of Millstream, by those of others (median of the rounds)"
    table = _table(title, ("what", "to"), ("ratio", "from - to", "floor"))
    for ratio in results.ratios():
        verdict = {None: "", True: " met", False: " NOT met"}[ratio.met]
        floor = "" if ratio.comparison.floor is None else f"{ratio.comparison.floor:.2f}{verdict}"
        table.add_row(
            ratio.comparison.of, ratio.comparison.to, f"[bold]{ratio.value:.2f}",
            f"{ratio.lowest:.2f} - {ratio.highest:.2f}", floor,
        )  # fmt: skip
    return table


def _latencies(results: Results) -> Table:
    table = _table(
        "End-to-end latency, ms, open loop",
        ("what",),
        ("events/s", "p50", "p99", "p99.9", "largest", "load's own delay, p99"),
    )
    for name in results.latencies:
        one = results.latency(name)
        figures = (one.p50, one.p99, one.p999, one.largest, one.load_late_p99)
        load = f"{results.loads[name]:,.0f}"
        table.add_row(name, load, *(f"{figure:.1f}" for figure in figures))
    return table


def _rows(results: Results) -> Table:
    title = "Cost per row of a static model, by that of one row a call"
    table = _table(title, ("model",), ("rows a call", "ratio", "µs a row"))
    for model, sizes in results.cost_per_row().items():
        alone = sizes["1"]
        for size, cost in sizes.items():
            ratio = "1" if size == "1" else f"1/{alone / cost:,.0f}"
            table.add_row(model, size, f"[bold]{ratio}", f"{cost:,.1f}")
    return table


def _memory(results: Results) -> Table:
    table = _table("Memory at constant load", ("what",), ("end / a quarter in", "MB", "seconds"))
    for name, series in results.memory.items():
        quarter, (seconds, end) = series[len(series) // 4][1], series[-1]
        table.add_row(name, f"[bold]{end / quarter:.2f}", f"{end:.0f}", f"{seconds:.0f}")
    return table


def _rates(results: Results) -> Table:
    title = "Behind the ratios, on this machine in this hour"
    table = _table(title, ("what",), ("events/s", "from - to"))
    for name, each in results.rates.items():
        spread = f"{min(each):,.0f} - {max(each):,.0f}"
        table.add_row(name, f"{median(each):,.0f}", spread)
    return table


def _table(title: str, names: tuple[str, ...], figures: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", min_width=78)
    for name in names:
        table.add_column(name)
    for name in figures:
        table.add_column(name, justify="right")
    return table
