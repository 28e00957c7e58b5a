"""Connections that are cut, reset, half-open, slow, and answers that never come."""

import time
from collections.abc import Callable
from functools import partial

from tests.faults.fault import Fault
from tests.faults.proxy import END_TRANSACTION, LIST_OFFSETS, OFFSET_COMMIT, Proxy
from tests.faults.scene import Scene


def again_and_again(scene: Scene, what: Callable[[Proxy], None]) -> None:
    """Every connection ends at once, several times, at random moments."""
    scene.start()
    scene.begin_feed()
    scene.progress()
    for _ in range(5):
        time.sleep(scene.random.uniform(0, 1))
        what(scene.cluster.network)
    scene.recover("the last cut")


def for_some_time(scene: Scene, seconds: float) -> None:
    """No connection at all for a while."""
    scene.start()
    scene.begin_feed()
    scene.progress()
    network = scene.cluster.network
    network.down()
    try:
        time.sleep(seconds)
    finally:
        network.up()
    scene.recover("the network is back")


def half_open(scene: Scene, seconds: float) -> None:
    """Connections stay, and nothing passes."""
    scene.start()
    scene.begin_feed()
    scene.progress()
    network = scene.cluster.network
    network.silent = True
    try:
        time.sleep(seconds)
    finally:
        network.heal()
    scene.recover("the network is back")


def slow(scene: Scene) -> None:
    """Everything comes five seconds late, for a while."""
    scene.start()
    scene.begin_feed()
    scene.progress()
    network = scene.cluster.network
    network.delay = 5
    try:
        time.sleep(12)
    finally:
        network.heal()
    scene.recover("the network is fast again")


def late_offsets(scene: Scene) -> None:
    """Answers to where logs begin and end are late, while partitions come and go.

    librdkafka asks once more, half a second later, where such an answer came too late to count; if
    it has been told meanwhile where to read, the second answer is not to change that.
    """
    network = scene.cluster.network
    network.late = {LIST_OFFSETS: 0.3}
    try:
        for _ in range(2):
            worker = scene.start()
            if not scene.feed.sent:
                scene.begin_feed()
            scene.progress()
            assert worker.stop() == 0
    finally:
        network.heal()
    scene.verify_at_death()


def swallowed_commit(scene: Scene) -> None:
    """The broker commits, and its answer is lost, several times."""
    scene.start()
    scene.begin_feed()
    scene.progress()
    network = scene.cluster.network
    exactly_once = scene.variant.guarantee == "exactly_once"
    for _ in range(3):
        before = network.swallowed
        network.swallow = END_TRANSACTION if exactly_once else OFFSET_COMMIT
        scene.wait_until(lambda: network.swallowed > before, "an answer is lost")
        scene.recover("the lost answer")


def swallowed_commit_and_death(scene: Scene) -> None:
    """The broker commits, its answer is lost, and the worker dies before it can ask again."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    network = scene.cluster.network
    exactly_once = scene.variant.guarantee == "exactly_once"
    before = network.swallowed
    network.swallow = END_TRANSACTION if exactly_once else OFFSET_COMMIT
    scene.wait_until(lambda: network.swallowed > before, "an answer is lost")
    worker.sigkill()
    scene.verify_at_death()
    scene.start()
    scene.recover("SIGKILL")


_PROXIED = {"through_proxy": True}
_IMPATIENT = {**_PROXIED, "kafka": {"socket.timeout.ms": 2_000}}
"""Else a client waits for a minute before it gives a silent connection up."""
_LONG_SESSION = {**_PROXIED, "session": 45.0}

FAULTS = [
    Fault("connections cut", partial(again_and_again, what=Proxy.cut), "one", scene=_PROXIED),
    Fault("connections reset", partial(again_and_again, what=Proxy.reset), "one", scene=_PROXIED),
    Fault("no network 6 s", partial(for_some_time, seconds=6), "one", scene=_PROXIED),
    Fault("half-open connections 6 s", partial(half_open, seconds=6), "one", scene=_IMPATIENT),
    Fault("everything 5 s late, short session", slow, "one", scene=_PROXIED),
    Fault("everything 5 s late, long session", slow, "one", scene=_LONG_SESSION),
    Fault(
        "offsets of logs told late",
        late_offsets,
        "one",
        scene={**_PROXIED, "partitions": 6, "per_second": 200},
    ),
    Fault("the commit's answer is lost", swallowed_commit, "one", scene=_PROXIED),
    Fault(
        "the commit's answer is lost, SIGKILL", swallowed_commit_and_death, "one", scene=_PROXIED
    ),
]
