"""Collectors and a registry that prometheus-client does not have."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from millstream.core.records.record import InputName


class AppRegistry(CollectorRegistry):
    """Adds the label `app` to every sample, and `topic` to every sample of an input.

    Added at each scrape, so that counting costs nothing more.
    """

    def __init__(self, app: str | None, topics: Mapping[InputName, str]) -> None:
        """`app` None: adds nothing."""
        super().__init__()
        self._app = app
        self._topics: dict[str, str] = {str(name): topic for name, topic in topics.items()}

    def collect(self) -> Iterable[Metric]:
        """Answer a scrape."""
        for family in super().collect():
            if self._app is not None:
                family.samples = [
                    sample._replace(labels={"app": self._app, **self._topic(sample.labels)})
                    for sample in family.samples
                ]
            yield family

    def _topic(self, labels: Mapping[str, str]) -> dict[str, str]:
        topic = self._topics.get(labels.get("side", ""))
        return dict(labels) if topic is None else {**labels, "topic": topic}


class BatchHistogram(Collector):
    """A histogram that observes a whole batch of values at the cost of a few single ones."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        """`bounds`: upper bounds of the buckets, rising; the one without a bound is added."""
        self._name = name
        self._meaning = meaning
        self._bounds = np.asarray(bounds, dtype=float)
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        # Replaced as one object, so that a scrape from another thread sees one moment.
        self._state = (np.zeros(len(self._names), dtype=np.int64), 0.0)

    def observe_many(self, values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
        """Add values; only one thread may call this."""
        counts, total = self._state
        buckets = np.searchsorted(self._bounds, values)
        self._state = (
            counts + np.bincount(buckets, minlength=len(self._names)),
            total + float(values.sum()),
        )

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Answer a scrape."""
        counts, total = self._state
        cumulative = zip(self._names, map(float, np.cumsum(counts)), strict=True)
        yield HistogramMetricFamily(self._name, self._meaning, list(cumulative), sum_value=total)
