"""Results as a person reads them."""

from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.results import Results, machine


def show(results: Results, console: Console) -> None:
    """Print the tables: ratios before any absolute figure."""
    for table in (_ratios(results), _latencies(results), _rows(results), _rates(results)):
        console.print(table)
    console.print("; ".join(f"{name} {value}" for name, value in machine().items()), style="dim")


def _ratios(results: Results) -> Table:
    table = _table("Ratios of rates (median of the rounds)", "what", "to", "ratio", "from - to")
    table.add_column("floor", justify="right")
    for ratio in results.ratios():
        verdict = {None: "", True: " met", False: " NOT met"}[ratio.met]
        floor = "" if ratio.comparison.floor is None else f"{ratio.comparison.floor:.2f}{verdict}"
        table.add_row(
            ratio.comparison.of, ratio.comparison.to, f"[bold]{ratio.value:.2f}",
            f"{ratio.lowest:.2f} - {ratio.highest:.2f}", floor,
        )  # fmt: skip
    return table


def _latencies(results: Results) -> Table:
    title = f"End-to-end latency in ms, open loop, {results.load:,.0f} events/s (half of the rate)"
    table = _table(title, "what", "", "p50", "p99", "largest", "the load's own delay, p99")
    for name in results.latencies:
        one = results.latency(name)
        figures = (one.p50, one.p99, one.largest, one.load_late_p99)
        table.add_row(name, "", *(f"{figure:.1f}" for figure in figures))
    return table


def _rows(results: Results) -> Table:
    table = _table(
        "Cost per row of a static model", "model", "rows in a call", "of one by one", "µs a row"
    )
    for model, sizes in results.cost_per_row().items():
        alone = sizes["1"]
        for size, cost in sizes.items():
            share = "1" if cost == alone else f"1/{alone / cost:,.0f}"
            table.add_row(model, size, share, f"{cost:,.1f}")
    return table


def _rates(results: Results) -> Table:
    table = _table(
        "Behind the ratios (of this machine, in this hour)", "what", "", "events/s", "from - to"
    )
    for name, each in results.rates.items():
        spread = f"{min(each):,.0f} - {max(each):,.0f}"
        table.add_row(name, "", f"{median(each):,.0f}", spread)
    return table


def _table(title: str, first: str, second: str, *figures: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", min_width=76)
    table.add_column(first)
    table.add_column(second)
    for name in figures:
        table.add_column(name, justify="right")
    return table
