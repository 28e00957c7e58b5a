"""What a static model costs for each event, alone and in batches; no Kafka.

    python -m benchmarks.rows '{"sizes": [1, 64, 512, 4096]}'

Times the call that the worker makes: features in, answers for the prediction records out.
"""

import time
from collections.abc import Sequence
from typing import Any

from tests.support.kafka.app import FEATURES, PHISHING

from benchmarks.child import answer
from benchmarks.workloads import fitted_forest, fitted_logistic
from millstream.core.models.scikit_learn.static import StaticSklearn

SECONDS_EACH = 0.5


def microseconds_per_row(learner: StaticSklearn, size: int) -> float:
    """Repeat calls of `size` rows for half a second; the median call, by the row."""
    rows = [PHISHING[i % len(PHISHING)][0] for i in range(size)]
    learner.predict_many(rows)
    calls: list[float] = []
    until = time.perf_counter() + SECONDS_EACH
    while not calls or time.perf_counter() < until:
        began = time.perf_counter()
        learner.predict_many(rows)
        calls.append(time.perf_counter() - began)
    calls.sort()
    return calls[len(calls) // 2] / size * 1e6


def measure(sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Model to batch size to microseconds a row."""
    models = {"logistic regression": fitted_logistic(), "random forest (100)": fitted_forest()}
    return {
        name: {
            str(size): microseconds_per_row(StaticSklearn(model, FEATURES), size) for size in sizes
        }
        for name, model in models.items()
    }


if __name__ == "__main__":
    answer(measure)
