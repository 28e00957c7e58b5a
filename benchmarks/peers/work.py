"""What every peer does with an event, so that they differ in nothing but how they move events.

The fields and the answers are the worker's; the harness compares them. Runs in environments that
have neither Millstream nor the rest of the benchmarks, so it knows River and scikit-learn alone.
"""

import time
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
import orjson
from river import linear_model, optim, preprocessing

Row = dict[str, Any]
NAMED = {"name": "peer", "version": "0123456789ab"}


class Learning:
    """Scaler and logistic regression: predict, then learn from the label in the event."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._learned = 0
        self._model = preprocessing.StandardScaler() | linear_model.LogisticRegression(
            optimizer=optim.SGD(0.005)
        )

    def document(self, row: Row, offset: int, timestamp: int) -> Row:
        """Answer one event that is parsed already, and learn from it."""
        identity, label = row.pop("id"), row.pop("label")
        answer = self._model.predict_proba_one(row)
        learned = self._learned
        self._model.learn_one(row, label)
        self._learned += 1
        return {
            "id": identity,
            "prediction": max(answer, key=answer.__getitem__),
            "probabilities": {"false": answer[False], "true": answer[True]},
            "model": {**NAMED, "learned": learned},
            "event_time": timestamp,
            "predicted_at": time.time_ns() // 1_000_000,
            "source": {"topic": self._topic, "partition": 0, "offset": offset},
            "features": row,
        }

    def documents(
        self, rows: Sequence[Row], offsets: Sequence[int], timestamps: Sequence[int]
    ) -> list[Row]:
        """Answer a batch, one after the other."""
        return [
            self.document(row, offset, timestamp)
            for row, offset, timestamp in zip(rows, offsets, timestamps, strict=True)
        ]


class Static:
    """A fitted scikit-learn classifier: one call for whatever comes together."""

    def __init__(self, topic: str, path: str) -> None:
        self._topic = topic
        self._model = joblib.load(path)
        self._names = [str(label).lower() for label in self._model.classes_.tolist()]

    def document(self, row: Row, offset: int, timestamp: int) -> Row:
        """Answer one event that is parsed already."""
        return self.documents([row], [offset], [timestamp])[0]

    def documents(
        self, rows: Sequence[Row], offsets: Sequence[int], timestamps: Sequence[int]
    ) -> list[Row]:
        """Answer a batch by one call."""
        identities = [row.pop("id") for row in rows]
        matrix = np.array([list(row.values()) for row in rows], np.float64)
        answers = self._model.predict_proba(matrix)
        classes = self._model.classes_.tolist()
        now = time.time_ns() // 1_000_000
        return [
            {
                "id": identity,
                "prediction": classes[winner],
                "probabilities": dict(zip(self._names, answer, strict=True)),
                "model": {**NAMED, "learned": 0},
                "event_time": timestamp,
                "predicted_at": now,
                "source": {"topic": self._topic, "partition": 0, "offset": offset},
                "features": row,
            }
            for row, identity, winner, answer, offset, timestamp in zip(
                rows, identities, answers.argmax(axis=1).tolist(), answers.tolist(),
                offsets, timestamps, strict=True,
            )
        ]  # fmt: skip


class Work:
    """Bytes in, bytes out."""

    def __init__(self, topic: str, model: str | None) -> None:
        """`model`: path of a fitted one; without, one that learns."""
        self.on = Static(topic, model) if model else Learning(topic)

    def one(self, raw: bytes, offset: int, timestamp: int) -> bytes:
        """Answer one event."""
        return orjson.dumps(self.on.document(orjson.loads(raw), offset, timestamp))

    def many(
        self, raws: Sequence[bytes], offsets: Sequence[int], timestamps: Sequence[int]
    ) -> list[bytes]:
        """Answer events that came together."""
        rows = [orjson.loads(raw) for raw in raws]
        return [orjson.dumps(each) for each in self.on.documents(rows, offsets, timestamps)]
