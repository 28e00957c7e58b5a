"""All sorts of faults, one after the other and over each other, as a seed has it."""

import time
from collections.abc import Callable
from functools import partial

from tests.faults.fault import BOTH, Fault
from tests.faults.scene import Scene

ROUNDS = 8
MOST_WORKERS = 3


def mix(scene: Scene) -> None:
    """Random things happen at random intervals; every third time, predictions have to flow."""
    scene.start(0)
    scene.begin_feed()
    scene.progress()
    happenings = [_kill, _kill, _stop, _freeze, _join, _join, _cut, _silence, _break_the_broker]
    for number in range(ROUNDS):
        happening = scene.random.choice(happenings)
        scene.told(happening.__name__.strip("_"))
        happening(scene)
        time.sleep(scene.random.uniform(0, 1.5))
        _tend(scene)
        if number % 3 == 2:
            scene.progress(tend=partial(_tend, scene))
    scene.recover("the last of it", tend=partial(_tend, scene))


def _tend(scene: Scene) -> None:
    """As an orchestrator does: start what has ended by itself again, and one where none is left.

    A worker ends where no broker answers at its start, or where it was told to meanwhile.
    """
    for number, worker in list(scene.workers.items()):
        if worker.running or worker.leaving:
            continue
        code, log = worker.wait(), scene.log_text(number)
        assert code == 1, f"worker {number} ended with {code}: {log[-2000:]}"
        assert "Traceback" not in log, log[-2000:]
        scene.told(f"worker {number} ended: {log.splitlines()[-1]}")
        scene.start(number)
    if not scene.staying():
        _join(scene)


def _one(scene: Scene) -> int | None:
    staying = scene.staying()
    running = [number for number, worker in scene.workers.items() if worker in staying]
    return scene.random.choice(running) if running else None


def _with_one(act: Callable[[Scene, int], None], scene: Scene) -> None:
    number = _one(scene)
    if number is not None:
        act(scene, number)


def _kill(scene: Scene) -> None:
    _with_one(lambda _, number: scene.workers[number].sigkill(), scene)


def _stop(scene: Scene) -> None:
    _with_one(lambda _, number: scene.workers[number].sigterm(), scene)


def _freeze(scene: Scene) -> None:
    def freeze(_: Scene, number: int) -> None:
        worker = scene.workers[number]
        worker.sigstop()
        time.sleep(scene.random.uniform(0, 2 * scene.session))
        worker.sigcont()

    _with_one(freeze, scene)


def _join(scene: Scene) -> None:
    free = [
        n for n in range(MOST_WORKERS) if n not in scene.workers or not scene.workers[n].running
    ]
    if free:
        scene.start(free[0])


def _cut(scene: Scene) -> None:
    scene.cluster.network.reset()


def _silence(scene: Scene) -> None:
    scene.cluster.network.silent = True
    time.sleep(scene.random.uniform(0, 4))
    scene.cluster.network.heal()


def _break_the_broker(scene: Scene) -> None:
    scene.cluster.broker.kill()
    scene.cluster.broker.restart()


FAULTS = [
    Fault(
        "a random mix",
        mix,
        needs="one",
        protocols=BOTH,
        scene={"through_proxy": True, "partitions": 3, "kafka": {"socket.timeout.ms": 2_000}},
    ),
]
