"""Workers that die, freeze, join, leave, and run twice."""

import time
from functools import partial

from tests.faults.fault import BOTH, Fault
from tests.faults.scene import AT_ONCE, OFTEN, Scene

POINTS = (
    "after_poll",
    "after_learning",
    "mid_produce",
    "before_offsets",
    "before_commit",
    "after_commit",
)


def die_at(scene: Scene, point: str, times: int = 3) -> None:
    """Die at a failpoint twice: once looked at in peace, once replaced at once."""
    scene.start(failpoint=f"{point}:{times}")
    scene.begin_feed()
    scene.await_death(scene.workers[0])
    scene.verify_at_death()
    scene.start(failpoint=f"{point}:{times}")
    scene.await_death(scene.workers[0])
    scene.start()
    scene.recover("SIGKILL", within=scene.after_a_kill)


def die_while_restoring(scene: Scene, point: str) -> None:
    """Die with something behind: killed, then killed twice more while it is restored."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    worker.sigkill()
    for times in (1, 2):
        scene.await_death(scene.start(failpoint=f"{point}:{times}"))
    scene.verify_at_death()
    scene.await_death(scene.start(failpoint=f"{point}:1"))
    scene.start()
    scene.recover("SIGKILL", within=scene.after_a_kill)


def die_in_revoke(scene: Scene) -> None:
    """Die while a partition is handed to a worker that joins, and while leaving."""
    worker = scene.start(failpoint="in_revoke")
    scene.begin_feed()
    scene.progress()
    scene.start(1)
    scene.await_death(worker)
    scene.recover("SIGKILL, another worker runs", within=scene.after_a_kill)
    worker = scene.start(failpoint="in_revoke")
    worker.wait_until(lambda: scene.owns(0), message="it has a partition")
    worker.sigterm()
    scene.await_death(worker)
    scene.recover("SIGKILL while leaving, another worker runs", within=scene.after_a_kill)


def die_at_random(scene: Scene) -> None:
    """Five kills at moments that nobody chose."""
    worker = scene.start()
    scene.begin_feed()
    for _ in range(5):
        scene.progress(partitions=1)
        time.sleep(scene.random.uniform(0, 0.3))
        worker.sigkill()
        worker = scene.start()
        scene.recover("SIGKILL", within=scene.after_a_kill)
    worker.sigkill()
    scene.verify_at_death()


def sigterm(scene: Scene) -> None:
    """Stop in good order under load; look at what stands; another takes over at once."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    assert worker.stop() == 0
    scene.verify_at_death()
    worker = scene.start()
    other = scene.start(1)
    scene.progress()
    await_shards(scene, 2)
    worker.sigterm()
    scene.recover("SIGTERM, another worker runs", within=AT_ONCE)
    assert worker.wait() == 0
    assert other.running


def await_shards(scene: Scene, workers: int) -> None:
    """Wait until so many workers have partitions and have worked on them."""
    for number in range(workers):
        worker = scene.workers[number]
        worker.wait_until(lambda: scene.owns(number), message="it has a partition")
    scene.progress()


def zombie_with_another(scene: Scene) -> None:
    """Frozen until another worker has taken over and the transaction is past its time; woken up."""
    frozen = scene.start()
    scene.begin_feed()
    scene.start(1)
    await_shards(scene, 2)
    frozen.sigstop()
    scene.recover("SIGSTOP, another worker runs")
    time.sleep(scene.transaction)
    frozen.sigcont()
    frozen.wait_until(lambda: scene.owns(0), message="it is back in the group")
    scene.progress()


def zombie_alone(scene: Scene) -> None:
    """Frozen beyond its session and its transaction, and nobody there to take over."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    for _ in range(2):
        worker.sigstop()
        time.sleep(max(scene.session, scene.transaction) + 1)
        worker.sigcont()
        scene.recover("SIGCONT")


def slow_commit(scene: Scene, point: str) -> None:
    """The loop hangs past the transaction's time, while the group hears of the worker."""
    worker = scene.start(failpoint=f"{point}:3:{scene.transaction + 1.5}")
    scene.begin_feed()
    worker.wait_for_log("sleeping at a failpoint")
    time.sleep(scene.transaction + 1.5)
    scene.recover("the end of the pause")


def one_to_three_to_one(scene: Scene) -> None:
    """Workers join and leave under load."""
    scene.start(0)
    scene.begin_feed()
    scene.progress()
    for number in (1, 2):
        scene.start(number)
    await_shards(scene, 3)
    for number in (0, 2):
        assert scene.workers[number].stop() == 0
        scene.recover("SIGTERM, another worker runs", within=AT_ONCE)


def same_transactional_id(scene: Scene) -> None:
    """Two workers of one `instance`: one says so and ends, the other goes on."""
    twin = {"MILLSTREAM_INSTANCE": scene.app.name}
    scene.start(0, env=twin)
    scene.begin_feed()
    scene.progress()
    scene.start(1, env=twin)
    scene.wait_until(lambda: len(scene.alive()) < 2, "one of the twins gives up")
    (ended,) = [worker for worker in scene.workers.values() if not worker.running]
    assert ended.wait() == 1
    assert "with the setting instance" in ended.log_text(), ended.log_text()[-2000:]
    scene.recover("the end of the twin")


def same_instance_id(scene: Scene) -> None:
    """Two static members of one name: one says so and ends, the other goes on.

    In the classic protocol the newcomer takes the name, in the new one it is refused.
    """
    scene.start(0)
    scene.begin_feed()
    scene.progress()
    scene.start(1)
    scene.wait_until(lambda: len(scene.alive()) < 2, "one of the twins gives up")
    (ended,) = [worker for worker in scene.workers.values() if not worker.running]
    assert ended.wait() == 1
    assert "instance" in ended.log_text().splitlines()[-1], ended.log_text()[-2000:]
    scene.recover("the end of the twin")


def static_member(scene: Scene) -> None:
    """A static member is killed and started again: it need not wait for its own session."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    worker.sigkill()
    scene.start()
    scene.recover("SIGKILL of a static member", within=AT_ONCE)


_DEATHS = [
    Fault(f"SIGKILL {point.replace('_', ' ')}", partial(die_at, point=point)) for point in POINTS
]
_STATIC = {"kafka": {"group.instance.id": "twin"}}

FAULTS = [
    *_DEATHS,
    Fault(
        "SIGKILL mid snapshot",
        partial(die_at, point="mid_snapshot"),
        scene={"snapshots": OFTEN},
    ),
    Fault(
        "SIGKILL between snapshot and pointer",
        partial(die_at, point="before_pointer"),
        scene={"snapshots": OFTEN},
    ),
    Fault("SIGKILL mid restore", partial(die_while_restoring, point="mid_restore")),
    Fault(
        "SIGKILL after claim",
        partial(die_while_restoring, point="after_claim"),
        late=(True,),
        guarantees=("at_least_once",),
    ),
    Fault("SIGKILL in revoke", die_in_revoke, protocols=BOTH),
    Fault("SIGKILL at random", die_at_random, protocols=BOTH),
    Fault(
        "SIGKILL of a static member", static_member, scene={"kafka": {"group.instance.id": "one"}}
    ),
    Fault("SIGTERM under load", sigterm, protocols=BOTH),
    Fault("SIGSTOP, another takes over, SIGCONT", zombie_with_another, protocols=BOTH),
    Fault("SIGSTOP of the only worker, SIGCONT", zombie_alone, protocols=BOTH),
    Fault(
        "pause past the transaction's time",
        partial(slow_commit, point="before_commit"),
        guarantees=("exactly_once",),
        # A pause that is shorter than the session; the transaction's time is the same here.
        scene={"partitions": 1},
    ),
    Fault(
        "one worker to three to one", one_to_three_to_one, protocols=BOTH, scene={"partitions": 3}
    ),
    Fault("the same transactional id twice", same_transactional_id, guarantees=("exactly_once",)),
    Fault("the same instance id twice", same_instance_id, protocols=BOTH, scene=_STATIC),
]
