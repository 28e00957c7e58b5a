"""A registry that says of every sample whose it is."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from millstream.core.records.record import InputName


class OfAnApp(CollectorRegistry):
    """Adds to each sample the app that it is of, and to one of a side the topic of that side.

    Added when it is scraped, so that counting costs nothing more.
    """

    def __init__(self, app: str | None, topics: Mapping[InputName, str]) -> None:
        """`app` None: adds nothing."""
        super().__init__()
        self._app = app
        self._topics: dict[str, str] = {str(side): topic for side, topic in topics.items()}

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
