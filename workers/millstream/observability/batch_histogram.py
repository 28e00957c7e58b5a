"""A histogram for Prometheus that is fed batches."""

from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class BatchHistogram(Collector):
    """A histogram that takes a whole batch of values at the cost of a few single ones."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds = np.asarray(bounds, dtype=float)
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        # Replaced as one object, so that a scrape from another thread sees one moment.
        self._state = (np.zeros(len(self._names), dtype=np.int64), 0.0)

    def observe_many(self, values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
        """Add values; only one thread may call this."""
        counts, total = self._state
        where = np.searchsorted(self._bounds, values)
        self._state = (
            counts + np.bincount(where, minlength=len(self._names)),
            total + float(values.sum()),
        )

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Answer a scrape."""
        counts, total = self._state
        cumulative = zip(self._names, map(float, np.cumsum(counts)), strict=True)
        yield HistogramMetricFamily(self._name, self._meaning, list(cumulative), sum_value=total)
