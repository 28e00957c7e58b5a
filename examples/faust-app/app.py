"""A Faust app with a worker attached: it predicts, learns, and counts what it found suspicious."""

import os
from pathlib import Path
from typing import Any

import faust

import millstream.faust

app = faust.App(
    "phishing-in-faust",
    broker=os.environ.get("FAUST_BROKER", "kafka://localhost:9092"),
    store="memory://",
    topic_partitions=1,  # of what Faust makes: the table's changelog, as many as there are sites'
)
worker = millstream.faust.attach(app, Path(__file__).with_name("millstream.yaml"))

# The rest of the app, as it would be without a worker.
predictions = app.topic("phishing-in-faust.predictions", value_serializer="json")
found = app.Table("found", default=int, partitions=1)


@app.agent(predictions)
async def count(stream: Any) -> None:
    """Count the websites that were predicted to be phishing."""
    async for prediction in stream:
        found["phishing" if prediction["prediction"] else "harmless"] += 1


@app.page("/found")
async def show(view: Any, _request: Any) -> Any:
    """What was counted so far."""
    return view.json(dict(found.items()))


if __name__ == "__main__":
    app.main()
