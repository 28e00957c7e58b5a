"""Brokers that die, stop in order, and freeze: the only one, and one of three."""

import time
from functools import partial

from tests.faults.fault import Fault
from tests.faults.scene import Scene

PAUSE = 3
"""Seconds for which the worker waits before its commit, so that the broker is gone by then."""


def _before_a_commit(scene: Scene) -> None:
    """Have a worker that is about to commit."""
    worker = scene.start(failpoint=f"before_commit:8:{PAUSE}")
    scene.begin_feed()
    worker.wait_for_log("sleeping at a failpoint")


def killed(scene: Scene) -> None:
    """The only broker dies before a commit, and at a random moment."""
    _before_a_commit(scene)
    for _ in range(2):
        scene.cluster.broker.kill()
        scene.cluster.broker.restart()
        scene.recover("the broker is up again")
        time.sleep(scene.random.uniform(0, 0.5))


def restarted(scene: Scene) -> None:
    """The only broker stops in good order before a commit, and comes back."""
    _before_a_commit(scene)
    scene.cluster.broker.stop_broker()
    scene.cluster.broker.restart()
    scene.recover("the broker is up again")


def frozen(scene: Scene, seconds: float) -> None:
    """The only broker freezes before a commit."""
    _before_a_commit(scene)
    scene.cluster.broker.pause()
    try:
        time.sleep(seconds)
    finally:
        scene.cluster.broker.resume()
    scene.recover("the broker goes on")


def frozen_while_restoring(scene: Scene, seconds: float) -> None:
    """The only broker freezes at several points of a restore."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    for times in (1, 3, 5):
        worker.sigkill()
        worker = scene.start(failpoint=f"mid_restore:{times}:{PAUSE}")
        worker.wait_for_log("sleeping at a failpoint")
        scene.cluster.broker.pause()
        try:
            time.sleep(seconds)
        finally:
            scene.cluster.broker.resume()
        scene.recover("the broker goes on")


def killed_one_of_three(scene: Scene) -> None:
    """The broker that coordinates the group dies before a commit; then one that does not."""
    _before_a_commit(scene)
    coordinator = scene.coordinator()
    other = scene.random.choice([broker for broker in (1, 2, 3) if broker != coordinator])
    for broker, what in ((coordinator, "the coordinator"), (other, "another broker")):
        scene.cluster.broker.kill(broker)
        try:
            scene.recover(f"SIGKILL of {what}")
        finally:
            scene.cluster.broker.restart(broker)
        scene.progress()


def restarted_one_of_three(scene: Scene) -> None:
    """The coordinator stops in good order and comes back."""
    _before_a_commit(scene)
    coordinator = scene.coordinator()
    scene.cluster.broker.stop_broker(coordinator)
    try:
        scene.recover("the stop of the coordinator")
    finally:
        scene.cluster.broker.restart(coordinator)
    scene.progress()


def frozen_one_of_three(scene: Scene) -> None:
    """The coordinator freezes for longer than the others wait for it, and wakes up."""
    _before_a_commit(scene)
    coordinator = scene.coordinator()
    scene.cluster.broker.pause(coordinator)
    try:
        scene.recover("SIGSTOP of the coordinator")
    finally:
        scene.cluster.broker.resume(coordinator)
    scene.progress()


FAULTS = [
    Fault("broker SIGKILL", killed, needs="one", scene={"session": 6.0}),
    Fault("broker clean restart", restarted, needs="one", scene={"session": 6.0}),
    Fault("broker SIGSTOP 2 s", partial(frozen, seconds=2), needs="one", scene={"session": 6.0}),
    Fault("broker SIGSTOP 12 s", partial(frozen, seconds=12), needs="one", scene={"session": 6.0}),
    Fault(
        "broker SIGSTOP 12 s while restoring",
        partial(frozen_while_restoring, seconds=12),
        needs="one",
        scene={"session": 6.0},
    ),
    Fault("one of three SIGKILL", killed_one_of_three, needs="three", scene={"session": 10.0}),
    Fault(
        "one of three clean restart", restarted_one_of_three, needs="three", scene={"session": 10.0}
    ),
    Fault("one of three SIGSTOP", frozen_one_of_three, needs="three", scene={"session": 10.0}),
]
