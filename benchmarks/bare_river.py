"""The limit: a bare loop around the River model, without Kafka.

    python -m benchmarks.bare_river '{"events": 60000, "features": 9, "model": "Hoeffding tree"}'

It does what nobody who publishes predictions can leave out: parse the event, predict, learn, and
dump the very document that the worker publishes. The document is written out by hand here; the
harness compares it with the worker's own, so that the two cannot drift apart.
"""

import time
from typing import Any

import orjson

from benchmarks.child import answer
from benchmarks.rates import CHECKPOINT
from benchmarks.workloads import RIVER, UNSUPERVISED, learning


def classify(model: Any, raws: list[bytes], first: int) -> bytes:
    """Work off events; returns the last document."""
    predict, learn = model.predict_proba_one, model.learn_one
    options = orjson.OPT_NON_STR_KEYS
    # The worker reads its clock once a batch; so little costs nothing here either.
    now = time.time_ns() // 1_000_000
    document = b""
    for offset, raw in enumerate(raws, first):
        features = orjson.loads(raw)
        identity = features.pop("id")
        label = features.pop("label")
        probabilities = predict(features)
        document = orjson.dumps(
            {
                "id": identity,
                # A tree that has learned nothing has no answer.
                "prediction": max(probabilities, key=probabilities.get) if probabilities else None,
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


def score(model: Any, raws: list[bytes], first: int) -> bytes:
    """The same for an anomaly detector, which needs no labels."""
    predict, learn = model.score_one, model.learn_one
    now = time.time_ns() // 1_000_000
    document = b""
    for offset, raw in enumerate(raws, first):
        features = orjson.loads(raw)
        identity = features.pop("id")
        document = orjson.dumps(
            {
                "id": identity,
                "prediction": None,
                "score": predict(features),
                "model": {"name": "bare", "version": "0123456789ab", "learned": offset},
                "event_time": now,
                "predicted_at": now,
                "source": {"topic": "bare", "partition": 0, "offset": offset},
                "features": features,
            }
        )
        learn(features)
    return document


def measure(events: int, features: int, model: str) -> dict[str, Any]:
    """Time the loop."""
    raws = list(learning(model, features).events(events))
    made = RIVER[model][1]()
    loop = score if model in UNSUPERVISED else classify
    documents = {}
    began = time.perf_counter()
    for start in range(0, events, CHECKPOINT):
        part = raws[start : start + CHECKPOINT]
        documents[start + len(part) - 1] = loop(made, part, start)
    seconds = time.perf_counter() - began
    answers = {str(at): orjson.loads(document) for at, document in documents.items()}
    return {"rate": events / seconds, "answers": answers}


if __name__ == "__main__":
    answer(measure)
