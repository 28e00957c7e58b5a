"""The limit: a bare loop around the River model, without Kafka.

    python -m benchmarks.bare_river '{"events": 60000}'

It does what nobody who publishes predictions can leave out: parse the event, predict, learn, and
dump the very document that the worker publishes. The document is written out by hand here; the
harness compares it with the worker's own, so that the two cannot drift apart.
"""

import time
from typing import Any

import orjson
from tests.kafka.app import scaled_logistic

from benchmarks.child import answer
from benchmarks.workloads import learning


def bare_loop(raws: list[bytes]) -> bytes:
    """Work off all events; returns the last document."""
    model = scaled_logistic()
    predict, learn = model.predict_proba_one, model.learn_one
    options = orjson.OPT_NON_STR_KEYS
    # The worker reads its clock once a batch; so little costs nothing here either.
    now = time.time_ns() // 1_000_000
    document = b""
    for offset, raw in enumerate(raws):
        features = orjson.loads(raw)
        identity = features.pop("id")
        label = features.pop("label")
        probabilities = predict(features)
        document = orjson.dumps(
            {
                "id": identity,
                "prediction": max(probabilities, key=probabilities.get),
                "probabilities": probabilities,
                "model": {"name": "bare", "version": "0123456789ab", "learned": offset},
                "event_time": now,
                "predicted_at": now,
                "source": {"topic": "bare", "partition": 0, "offset": offset},
                "features": features,
            },
            option=options,
        )
        learn(features, label)
    return document


def measure(events: int) -> dict[str, Any]:
    """Time the loop."""
    raws = list(learning().events(events))
    began = time.perf_counter()
    document = bare_loop(raws)
    seconds = time.perf_counter() - began
    return {"rate": events / seconds, "last": orjson.loads(document)}


if __name__ == "__main__":
    answer(measure)
