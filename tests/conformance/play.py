"""Puts a runner through a scenario, and takes down what came of it."""

import hashlib
import pickle
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import joblib

from tests.conformance.adapter import Adapter, Ended, Seen, Stage
from tests.conformance.scenario import (
    Die,
    Join,
    Leave,
    LetPass,
    Message,
    Restart,
    Scenario,
    Send,
    Step,
    messages_of,
    settings,
)


class Played(NamedTuple):
    """What a runner made of a scenario."""

    app: str
    exactly_once: bool
    predictions: list[Seen]
    examples: list[Seen]
    dead_letters: list[Seen]
    ended: str | None
    counts: Counter[str]
    digests: dict[int, str]
    learned: dict[int, int]
    from_snapshot: bool


def play(scenario: Scenario, adapter: type[Adapter], app: str, folder: Path, kafka: Any) -> Played:
    """Start the runner on empty topics, do step by step what the scenario says, and stop it."""
    known = settings_of(scenario, adapter, app, folder)
    with adapter(Stage(app, known, scenario.partitions, folder, kafka)) as runner:
        runner.start(known)
        ended = None
        messages = iter(scenario.messages())
        try:
            for step in scenario.steps:
                coming = [next(messages) for _ in messages_of(step)]
                known = _do(runner, step, known, coming)
                runner.settle()
        except Ended as end:
            ended = str(end)
        runner.stop()
        return Played(
            app,
            known["processing_guarantee"] == "exactly_once",
            runner.read("predictions"),
            runner.read("examples") if scenario.late else [],
            runner.read("dead_letters"),
            ended,
            runner.counts(),
            runner.digests(),
            runner.learned(),
            runner.restored_from_snapshot(),
        )


def settings_of(
    scenario: Scenario, adapter: type[Adapter], app: str, folder: Path
) -> dict[str, Any]:
    """What a settings file would hold, but for `kafka`."""
    topics: dict[str, Any] = {"events": {"topic": f"{app}.events"}}
    if scenario.late:
        topics["labels"] = {"topic": f"{app}.labels"}
    first = {"processing_guarantee": adapter.guarantees[0], **scenario.settings}
    topics["model"] = dict(scenario.settings["model"])
    for name, write in {"sklearn": joblib.dump, "weights": _pickle}.items():
        if name in topics["model"]:
            file = folder / f"{app}.{name}"
            write(topics["model"][name](), file)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            topics["model"][name] = {"path": str(file), "sha256": digest}
    return settings(first, app=app, http={"enabled": False}, **topics)


def _pickle(model: Any, file: Path) -> None:
    file.write_bytes(pickle.dumps(model))


def _do(
    runner: Adapter, step: Step, known: dict[str, Any], coming: list[Message]
) -> dict[str, Any]:
    """One step; gives the settings that hold from then on."""
    match step:
        case Send():
            runner.send(coming)
        case Restart():
            runner.stop()
            runner.send(coming)
            known = settings(known, **step.settings)
            runner.start(known)
        case Die():
            runner.die(step.moment, coming)
        case Join():
            runner.join()
        case Leave():
            runner.leave()
        case LetPass():
            runner.let_pass(step.duration, lambda: len(runner.read("examples")) >= step.examples)
    return known
