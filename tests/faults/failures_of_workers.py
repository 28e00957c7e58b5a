"""Workers that die, freeze, join and leave."""

from functools import partial

from tests.faults.fault import Fault
from tests.faults.scene import Scene


def die_at(scene: Scene, point: str, times: int = 3) -> None:
    """Die at a failpoint twice: once looked at in peace, once replaced at once."""
    scene.start(failpoint=f"{point}:{times}")
    scene.begin_feed()
    scene.await_death(scene.workers[0])
    scene.verify_at_death()
    scene.start(failpoint=f"{point}:{times}")
    scene.await_death(scene.workers[0])
    scene.start()
    scene.recover("SIGKILL")


FAULTS = [
    Fault(f"SIGKILL at {point}", partial(die_at, point=point)) for point in ("before_commit",)
]
