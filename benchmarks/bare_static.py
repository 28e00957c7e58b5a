"""The limit of a static model: a bare loop around scikit-learn, without Kafka.

    python -m benchmarks.bare_static '{"events": 60000, "features": 9, "model": "model.joblib"}'

Parses, predicts on so many rows a call, and dumps the document that the worker publishes.
"""

import time
from typing import Any

import orjson

from benchmarks.child import answer
from benchmarks.peers.work import Work
from benchmarks.rates import CHECKPOINT
from benchmarks.workloads import event as made
from benchmarks.workloads import table

ROWS = CHECKPOINT
"""A call; more gain nothing, see rows.py."""


def measure(events: int, features: int, model: str) -> dict[str, Any]:
    """Time the loop."""
    rows = table(features)
    raws = [orjson.dumps(made(number, labelled=False, rows=rows)) for number in range(events)]
    work = Work("bare", model)
    offsets, now = list(range(events)), [time.time_ns() // 1_000_000] * ROWS
    last = {}
    work.many(raws[:ROWS], offsets[:ROWS], now)  # the first call sets things up
    began = time.perf_counter()
    for start in range(0, events, ROWS):
        part = slice(start, start + ROWS)
        documents = work.many(raws[part], offsets[part], now[: len(raws[part])])
        last[start + len(documents) - 1] = documents[-1]
    seconds = time.perf_counter() - began
    answers = {str(at): orjson.loads(document) for at, document in last.items()}
    return {"rate": events / seconds, "answers": answers}


if __name__ == "__main__":
    answer(measure)
