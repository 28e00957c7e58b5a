"""Fits a model, and writes it beside the settings that name it."""

import hashlib
import json
import sys
from pathlib import Path

import joblib
from river.datasets import Phishing
from sklearn.ensemble import RandomForestClassifier

SETTINGS = """\
app: phishing-static
kafka: {{ bootstrap.servers: localhost:9092 }}
events:
  topic: static-sites
  id: id
  # In the order of the matrix that the model was fitted on.
  features: [{features}]
labels: {{ from: none }}
model:
  sklearn: {{ path: model.joblib, sha256: {sha256} }}
"""


def main(folder: Path) -> None:
    """Write the model, its settings and events to try it on into a folder."""
    rows = list(Phishing())
    features = list(rows[0][0])
    train, test = rows[:625], rows[625:]
    model = RandomForestClassifier(50, random_state=1)
    model.fit([[x[name] for name in features] for x, _ in train], [y for _, y in train])
    joblib.dump(model, folder / "model.joblib")
    sha256 = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    settings = SETTINGS.format(features=", ".join(features), sha256=sha256)
    (folder / "millstream.yaml").write_text(settings)
    with (folder / "events.jsonl").open("w") as file:
        for number, (x, y) in enumerate(test):
            file.write(json.dumps({"id": number, **x, "is_phishing": y}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
