"""Bad messages, labels at every time, logs and offsets that are gone, settings that change."""

import time
from functools import partial
from typing import Any

from confluent_kafka import TopicPartition

from tests.faults.fault import Fault
from tests.faults.scene import KEYS, Scene
from tests.support.kafka.app import event_of, label_of
from tests.support.kafka.worker import WorkerProcess

BAD = [b"no json", b"", b"[1]", b'{"id": null}', b'{"id": 1, "https": "NaN"}', b"\xff\xfe"]
WAIT_SECONDS = 3.0


def poison_now_and_then(scene: Scene) -> None:
    """One message in a hundred is bad, with deaths in between."""
    worker = scene.start()
    scene.begin_feed()
    topics = [scene.app.events] + [scene.app.labels] * scene.variant.late
    for turn in range(3):
        scene.progress()
        for topic in topics:
            numbers = range(turn, turn + max(5, scene.feed.sent // 300))
            scene.app.send(topic, [(number % KEYS, BAD[number % len(BAD)]) for number in numbers])
        worker.sigkill()
        worker = scene.start()
        scene.recover("SIGKILL", within=scene.after_a_kill)


def nothing_but_poison(scene: Scene) -> None:
    """The breaker stops the worker; told that all is well, the next one buries it all."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    scene.app.send(scene.app.events, [(n, BAD[n % len(BAD)]) for n in range(1000)])
    _stops(worker, "went to dead letters")
    scene.verify_at_death()
    scene.app.write_settings(dead_letters={"stop_ratio": None})
    scene.start()
    scene.recover("the start with other settings")


def _stops(worker: WorkerProcess, sentence: str) -> None:
    """A worker ends by itself, and says why in a sentence."""
    assert worker.wait(60) == 1
    log = worker.log_text()
    assert sentence in log, log[-2000:]
    assert "Traceback" not in log, log[-2000:]


def labels_of_every_kind(scene: Scene) -> None:
    """Labels early, in time, twice, after the wait, never, and of no event; deaths in between."""
    worker = scene.start()
    app = scene.app
    late: list[tuple[Any, Any]] = []
    for turn in range(5):
        base = turn * 200
        app.send(app.labels, [_keyed(label_of(n)) for n in range(base, base + 40)])
        events = [_keyed(event_of(n, label=False)) for n in range(base, base + 160)]
        app.send(app.events, events)
        in_time = [_keyed(label_of(n)) for n in range(base + 40, base + 100)]
        app.send(app.labels, in_time + in_time[:20])
        app.send(app.labels, [_keyed(label_of(n)) for n in range(base + 160, base + 170)])
        app.kafka.produce(app.labels, [(str(n), None, None, None, None) for n in range(3)])
        late += [_keyed(label_of(n)) for n in range(base + 100, base + 120)]
        time.sleep(scene.random.uniform(0, 1))
        worker.sigkill()
        worker = scene.start()
    time.sleep(WAIT_SECONDS)
    app.send(app.labels, late)
    scene.settle = partial(_all_resolved, scene)  # type: ignore[method-assign] # in this scene alone


def _keyed(message: tuple[int, dict[str, Any]]) -> tuple[Any, Any]:
    return message[0] % KEYS, message[1]


def _all_resolved(scene: Scene, last: WorkerProcess) -> None:
    """Wait until no prediction waits and no label is held."""

    def done() -> bool:
        examples = scene.app.examples()
        waiting = {p["source"]["partition"] * 10**9 + p["source"]["offset"]
                   for p in scene.app.predictions() if p.get("waits")}  # fmt: skip
        held = {e["id"] for e in examples if e["kind"] == "held"}
        given_up = {e["id"] for e in examples if e["kind"] in {"unmatched", "learned"}}
        resolved = scene.app.resolved()
        return resolved >= len(waiting) and held <= given_up

    last.wait_until(done, 60, "nothing waits any more")
    # Else the scene was not what its name says.
    kinds = {example["kind"] for example in scene.app.examples()} - {"owner"}
    assert kinds == {"learned", "expired", "held", "unmatched"}, kinds
    reasons = {letter["millstream-reason"] for letter in scene.app.dead_letters()}
    # What comes so late that its prediction is forgotten is of no event that is known.
    assert {"unmatched"} <= reasons <= {"late", "unmatched"}, reasons


def retention(scene: Scene) -> None:
    """Events that were not worked off are gone: the worker says which; told to, it goes on."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    assert worker.stop() == 0
    scene.wait_until(
        lambda: all(e > scene.positions("events")[p] + 50 for p, e in _ends(scene).items()),
        "events are left to delete",
    )
    low = {number: offset + 20 for number, offset in scene.positions("events").items()}
    places = [TopicPartition(scene.app.events, number, offset) for number, offset in low.items()]
    for future in scene.kafka.admin.delete_records(places).values():
        future.result()
    _stops(scene.start(), "gone")
    scene.verify_at_death()
    if not scene.variant.late:
        # The events are the training log as well: what is gone of it cannot be learned again, so
        # there is nothing to compare the weights of a worker that goes on with.
        scene.over = True
        return
    scene.app.write_settings(recovery={"lost_log": "continue"})
    scene.start()
    scene.recover("the setting to go on")


def _ends(scene: Scene) -> dict[int, int]:
    return scene.kafka.end_offsets(scene.app.events)


def lost_offsets(scene: Scene, sides: tuple[str, ...]) -> None:
    """The group forgets where it was, after a death and after a clean stop."""
    worker = scene.start()
    scene.begin_feed()
    topics = [getattr(scene.app, side) for side in sides]
    for how in ("sigkill", "stop"):
        scene.progress()
        getattr(worker, how)()
        scene.check_for_hanging_transactions(scene.transaction + 3)
        scene.kafka.delete_group_offsets(scene.app.name, topics)
        worker = scene.start()
        scene.recover("the offsets are gone")


def changed_settings(scene: Scene) -> None:
    """Bounds change between a crash and the restart, and change back; another model is refused."""
    before = scene.app.settings["events"]
    worker = scene.start()
    scene.begin_feed()
    for events in ({**before, "bounds": {"popup_window": [0.5, 1]}}, before):
        scene.progress()
        worker.sigkill()
        scene.app.write_settings(events=events)
        scene.answers_may_differ = True
        worker = scene.start()
        scene.recover("SIGKILL and other settings", within=scene.after_a_kill)
    worker.sigkill()
    model = scene.app.settings["model"]
    scene.app.write_settings(model={"river": "naive_bayes.GaussianNB()"})
    _stops(scene.start(), "is another one than what partition")
    scene.app.write_settings(model=model)
    scene.start()
    scene.recover("the old model is back")


_ALL = ("events", "labels")
_SHORT_WAIT = {"labels": {"wait": f"{WAIT_SECONDS:g}s"}}

FAULTS = [
    Fault("poison 1 %", poison_now_and_then),
    Fault("poison 100 %", nothing_but_poison, scene={"dead_letters": {"window": 100}}),
    Fault("labels of every kind, SIGKILL", labels_of_every_kind, late=(True,), scene=_SHORT_WAIT),
    Fault("retention passes the committed offset", retention),
    Fault("offsets of events deleted", partial(lost_offsets, sides=("events",))),
    Fault("offsets of labels deleted", partial(lost_offsets, sides=("labels",)), late=(True,)),
    Fault("all offsets deleted", partial(lost_offsets, sides=_ALL), late=(True,)),
    Fault("settings changed", changed_settings),
]
