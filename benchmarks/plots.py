"""Results as a picture: ratios as bars, latencies and memory where there are any."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.results import Results

BAR_INCHES, WIDTH_INCHES = 0.3, 11.0
MET, MISSED, PLAIN = "#2a7f62", "#b5482f", "#4c6a92"


def draw(results: Results, path: Path) -> None:
    """Draw a PNG; nothing where there is nothing to draw."""
    panels: list[tuple[int, Callable[[Axes, Results], None]]] = []
    if results.comparisons:
        panels.append((len(results.comparisons), _ratios))
    if results.latencies:
        panels.append((2 * len(results.latencies), _latencies))
    if results.memory:
        panels.append((8, _memory))
    if not panels:
        return
    heights = [BAR_INCHES * size + 1.1 for size, _ in panels]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
        grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
        for number, (_, panel) in enumerate(panels):
            panel(figure.add_subplot(grid[number, 0]), results)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the date, so that the same results give the same file.
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _ratios(axes: Axes, results: Results) -> None:
    ratios = results.ratios()[::-1]
    values = [ratio.value for ratio in ratios]
    errors = [
        [max(0.0, ratio.value - ratio.lowest) for ratio in ratios],
        [max(0.0, ratio.highest - ratio.value) for ratio in ratios],
    ]
    colours = [{None: PLAIN, True: MET, False: MISSED}[ratio.met] for ratio in ratios]
    names = [f"{ratio.comparison.of}  /  {ratio.comparison.to}" for ratio in ratios]
    bars = axes.barh(names, values, xerr=errors, color=colours, ecolor="#999999")
    axes.bar_label(bars, labels=[f" {value:.2f}" for value in values])
    axes.axvline(1, color="black", linewidth=0.8)
    for place, ratio in enumerate(ratios):
        if ratio.comparison.floor is not None:
            axes.plot([ratio.comparison.floor] * 2, [place - 0.4, place + 0.4], "k:", linewidth=1.2)
    if max(values) > 5 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.margins(x=0.12)
    axes.set_title("rate, by that of the other; dotted: target (green: met)")


def _latencies(axes: Axes, results: Results) -> None:
    names = list(results.latencies)[::-1]
    places = list(range(len(names)))
    for shift, field, colour in ((0.2, "p50", PLAIN), (-0.2, "p99", MISSED)):
        values = [getattr(results.latency(name), field) for name in names]
        bars = axes.barh([place + shift for place in places], values, 0.38, color=colour)
        bars.set_label(field)
        axes.bar_label(bars, labels=[f" {value:.0f}" for value in values])
    axes.set_yticks(places, [f"{name} ({results.loads[name]:,.0f}/s)" for name in names])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.margins(x=0.12)
    axes.set_xlim(left=1)
    axes.legend(frameon=False)
    axes.set_title("end-to-end latency, ms")


def _memory(axes: Axes, results: Results) -> None:
    for name, series in results.memory.items():
        axes.plot([at for at, _ in series], [size for _, size in series], label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("memory, MB")
