"""The worker gives River's own numbers, computed from what it published alone."""

import time
from pathlib import Path

import pytest
from river import metrics, stream
from river.datasets import Phishing

from millstream.core.models.interface.state_digest import digest
from tests.support.kafka.app import (
    PHISHING,
    SCALED_LOGISTIC,
    App,
    event_of,
    label_of,
    released_digests,
    scaled_logistic,
)
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka

COUNT = len(PHISHING)
# Progressive validation by River 0.26.1, from the design document.
INLINE = [
    (SCALED_LOGISTIC, "0.8872", "0.871233"),
    ("naive_bayes.GaussianNB()", "0.884708", "0.871429"),
    ("tree.HoeffdingTreeClassifier()", "0.879904", "0.860595"),
    ("ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=42)", "0.893515",
     "0.879201"),
]  # fmt: skip
LATE = [(10, "0.8816"), (50, "0.8792"), (100, "0.8608"), (500, "0.7656")]


def scores(app: App) -> tuple[metrics.Accuracy, metrics.F1]:
    """Accuracy and F1 from the predictions topic and the data set's labels alone.

    As River's own evaluation does, a model that has no answer yet is not counted.
    """
    accuracy, f1 = metrics.Accuracy(), metrics.F1()
    for record in app.predictions():
        answer, truth = record["prediction"], PHISHING[record["id"]][1]
        if answer is not None:
            accuracy.update(truth, answer)
            f1.update(truth, answer)
    return accuracy, f1


def printed(value: float, like: str) -> str:
    """A figure to as many digits as the table prints."""
    return f"{value:.{len(like.split('.')[1])}f}"


@pytest.mark.parametrize(("model", "accuracy", "f1"), INLINE)
def test_inline_labels_give_rivers_progressive_validation(
    kafka: Kafka, tmp_path: Path, model: str, accuracy: str, f1: str
) -> None:
    app = App(kafka, tmp_path, model=model)
    app.send(app.events, map(event_of, range(COUNT)))
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == COUNT)
        assert worker.stop() == 0
    measured_accuracy, measured_f1 = scores(app)
    assert printed(measured_accuracy.get(), accuracy) == accuracy
    assert printed(measured_f1.get(), f1) == f1


@pytest.mark.parametrize(("delay", "accuracy"), LATE)
def test_late_labels_worked_off_as_a_backlog_give_rivers_delayed_validation(
    kafka: Kafka, tmp_path: Path, delay: int, accuracy: str
) -> None:
    app = App(kafka, tmp_path, labels={"from": "topic", "wait": "1d"})
    began = (int(time.time()) - 3600) * 1000
    app.send(
        app.events, (event_of(i, label=False) for i in range(COUNT)),
        times=[began + i * 1000 for i in range(COUNT)],
    )  # fmt: skip
    app.send(
        app.labels, map(label_of, range(COUNT)),
        times=[began + (i + delay) * 1000 for i in range(COUNT)],
    )  # fmt: skip
    with app.worker() as worker:
        worker.wait_until(lambda: app.resolved() == COUNT)
        assert worker.stop() == 0
        digests = released_digests(worker)
    measured, _ = scores(app)
    assert printed(measured.get(), accuracy) == accuracy
    # Not only the score: the very weights.
    model = scaled_logistic()
    for _, x, y in stream.simulate_qa(Phishing(), moment=None, delay=delay):
        if y is not None:
            model.learn_one(x, y)
    assert digests == {0: digest(model)}


def test_each_of_four_partitions_equals_a_river_run_over_its_own_events(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, partitions=4)
    app.send(app.events, map(event_of, range(COUNT)))
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == COUNT)
        assert worker.stop() == 0
        digests = released_digests(worker)
    by_partition: dict[int, list[dict[str, object]]] = {0: [], 1: [], 2: [], 3: []}
    for message in app.read("predictions"):
        by_partition[message.partition].append(message.json)
    for partition in range(4):
        model = scaled_logistic()
        sent = [message.json for message in kafka.read(app.events, partition=partition)]
        assert len(sent) > 100
        for event, record in zip(sent, by_partition[partition], strict=True):
            features, truth = PHISHING[event["id"]]
            expected = model.predict_proba_one(features)
            assert record["id"] == event["id"]
            assert record["probabilities"] == {
                str(k).lower(): probability for k, probability in expected.items()
            }
            model.learn_one(features, truth)
        assert digests[partition] == digest(model)
