"""The live screen of the demo and its score."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from river import metrics

WINDOW: Final = 200
_LATEST: Final = 8


class Judged(NamedTuple):
    """A prediction and the actual label."""

    number: int
    prediction: bool
    probability: float
    truth: bool


class Score:
    """Compares predictions with the labels of the data set, each event once."""

    def __init__(self, labels: list[bool]) -> None:
        self.total = metrics.Accuracy()
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self.latest: deque[Judged] = deque(maxlen=_LATEST)
        self.expected = len(labels)
        self.repeated = 0
        self._labels = labels
        self._seen: set[int] = set()

    @property
    def judged(self) -> int:
        """Number of events predicted."""
        return len(self._seen)

    @property
    def rolling(self) -> float:
        """Accuracy of the last `WINDOW` events."""
        return sum(self._recent) / max(len(self._recent), 1)

    def judge(self, record: dict[str, Any]) -> None:
        """Count a prediction record; a duplicate counts once."""
        number = record["id"]
        if number in self._seen:
            self.repeated += 1
            return
        self._seen.add(number)
        prediction, truth = record["prediction"], self._labels[number - 1]
        # River's own evaluation leaves out an event that its model had no answer for.
        if prediction is None:
            return
        self.total.update(truth, prediction)
        self._recent.append(prediction == truth)
        probability = max((record.get("probabilities") or {"": 0.0}).values())
        self.latest.append(Judged(number, prediction, probability, truth))


@contextmanager
def screen(console: Console, score: Score) -> Iterator[Callable[[int, float], None]]:
    """Show the score as it grows: live on a terminal, else as a line per second.

    Gives a function that takes the number of events sent and the seconds since the first.
    """
    if not console.is_terminal:
        yield _line_per_second(console, score)
        return
    with Live(console=console, refresh_per_second=12) as live:
        yield lambda sent, elapsed: live.update(_picture(score, sent, elapsed))


def _line_per_second(console: Console, score: Score) -> Callable[[int, float], None]:
    last = time.monotonic()

    def show(sent: int, elapsed: float) -> None:
        nonlocal last
        if time.monotonic() - last >= 1 or score.judged == score.expected:
            last = time.monotonic()
            console.print(_summary(score, sent, elapsed), soft_wrap=True)

    return show


def _summary(score: Score, sent: int, elapsed: float) -> str:
    rate = score.judged / elapsed if elapsed > 0 else 0.0
    return (
        f"{sent:,} events sent, {score.judged:,} predicted ({rate:.0f}/s), accuracy of the last "
        f"{WINDOW}: {score.rolling:.1%}, of all: {score.total.get():.1%}"
    )


def _picture(score: Score, sent: int, elapsed: float) -> RenderableType:
    table = Table("event", "prediction", "probability", "truth", "", box=None, pad_edge=False)
    for number, prediction, probability, truth in score.latest:
        right = prediction == truth
        table.add_row(
            str(number),
            _word(phishing=prediction),
            f"{probability:.1%}",
            _word(phishing=truth),
            Text("right", "green") if right else Text("wrong", "red"),
        )
    bar = Table.grid()  # which ends its line, as a bar of its own does not
    bar.add_row(ProgressBar(total=score.expected, completed=score.judged, width=60))
    return Group(bar, Text(_summary(score, sent, elapsed)), Text(), table)


def _word(*, phishing: bool) -> str:
    return "phishing" if phishing else "fine"
