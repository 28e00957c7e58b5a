"""What bare River makes of a story: the predictions, and the digest of what was learned.

No code of ours decides anything here. The model is built by River, predicts and learns when the
story says so, and is looked at in the end.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from river import base, compose, linear_model, optim, preprocessing

from millstream.core.models.interface.state_digest import digest
from tests.conformance.scenario import FEATURES, Message, Scenario


class Told(NamedTuple):
    """One word of a story."""

    act: str
    """`p` or `l`."""
    name: str
    label: str | None
    """JSON; None: the label that came for it."""


class Predicted(NamedTuple):
    """What has to be predicted on a message."""

    name: str
    learned: int
    answer: dict[str, Any]
    """None of it where the scenario says it by hand."""


class Bare(NamedTuple):
    """What a story comes to."""

    predictions: list[Predicted]
    learned: int
    digest: str


def read_story(story: str) -> Iterator[Told]:
    """The words of a story, `pl` as two.

    >>> [(told.act, told.name, told.label) for told in read_story("pl1 p2 l2=false")]
    [('p', '1', None), ('l', '1', None), ('p', '2', None), ('l', '2', 'false')]
    """
    for word in story.split():
        acts = "pl" if word.startswith("pl") else word[0]
        name, _, label = word[len(acts) :].partition("=")
        for act in acts:
            yield Told(act, name, label or None)


def scaled() -> compose.Pipeline:
    """The model of `scenario.SCALED`."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.1)
    )


def tell(scenario: Scenario, story: str) -> Bare:
    """Let a bare model go through a story."""
    model = (scenario.bare or scaled)()
    events, labels = _by_name(scenario)
    predictions: list[Predicted] = []
    transformed: dict[str, Any] = {}
    learned = 0
    for told in read_story(story):
        features = dict(scenario.features.get(told.name) or _features(events[told.name]))
        if told.act == "p":
            predictions.append(Predicted(told.name, learned, answer(model, features)))
            if scenario.transformed:
                transformed[told.name] = model[0].transform_one(features)
            continue
        truth = labels.get(told.name) if told.label is None else orjson.loads(told.label)
        if scenario.transformed:
            model[0].learn_one(features)
            model[1].learn_one(transformed[told.name], truth)
        else:
            learn(model, features, truth)
        learned += 1
    return Bare(predictions, learned, digest(model) if scenario.check_digest else "")


def _by_name(scenario: Scenario) -> tuple[dict[str, Message], dict[str, Any]]:
    events: dict[str, Message] = {}
    labels: dict[str, Any] = {}
    for message in scenario.messages():
        if message.side == "events":
            events.setdefault(message.name, message)
        if message.document is not None and "label" in message.document:
            labels.setdefault(message.name, message.document["label"])
    return events, labels


def _features(event: Message) -> Mapping[str, Any]:
    document = event.document or {}
    return {name: document[name] for name in FEATURES if name in document}


def _is_rivers(model: Any) -> bool:
    return isinstance(model, base.Base)


def learn(model: Any, features: dict[str, Any], truth: Any) -> None:
    """One example, as the library has it."""
    if not _is_rivers(model):
        row, classes = np.array([list(features.values())]), np.array([False, True])
        model.partial_fit(row, np.array([truth]), classes=classes)
    elif model._supervised:
        model.learn_one(features, truth)
    else:
        model.learn_one(features)


def answer(model: Any, features: dict[str, Any]) -> dict[str, Any]:
    """What the library says of an event, as JSON has it."""
    if not _is_rivers(model):
        return _of_sklearn(model, features)
    last: Any = model[-1] if isinstance(model, compose.Pipeline) else model
    said: dict[str, Any]
    if hasattr(last, "predict_proba_one"):
        probabilities = model.predict_proba_one(features)
        best = max(probabilities, key=probabilities.get) if probabilities else None
        said = {"prediction": best, "probabilities": probabilities}
    elif hasattr(last, "score_one"):
        said = {"score": model.score_one(features)}
        verdict = last.classify(said["score"]) if hasattr(last, "classify") else None
        said["prediction"] = verdict
    else:
        said = {"prediction": model.predict_one(features)}
    plain: dict[str, Any] = orjson.loads(
        orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    )
    return plain


def _of_sklearn(model: Any, features: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(model, "classes_"):
        return {"prediction": None}
    return {"prediction": model.predict(np.array([list(features.values())])).tolist()[0]}
