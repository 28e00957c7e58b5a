"""Snapshots that are damaged or forged, and a store of them that is full or cannot be written.

What a disk without room leaves of a file, and every single bit of a snapshot, is tested nearer to
the code: `tests/unit/disk_store`, `tests/unit/core/snapshots/test_snapshot.py`.
"""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.scene import OFTEN, Scene
from tests.support.kafka.app import App
from tests.support.kafka.damage import ManifestEntry, cut, flipped, forged, other_format
from tests.support.kafka.worker import WorkerProcess

Damage = Callable[[App, ManifestEntry], None]
KEY = "a key that nobody has guessed yet"
STORE = "snaps"
STORE_SIZE = "256k"


def damaged(scene: Scene, damage: Damage) -> None:
    """The newest snapshot of each partition is damaged, then every one that there is."""
    worker = scene.start()
    scene.begin_feed()
    for every in (False, True):
        _await_snapshots(scene, worker, 2)
        worker.sigkill()
        # It waits for what is still on its way to the broker.
        scene.verify_at_death()
        by_partition = _snapshots(scene)
        for pointers in by_partition.values():
            for pointer in pointers[::-1] if every else pointers[-1:]:
                damage(scene.app, pointer)
        worker = scene.start()
        scene.recover("SIGKILL", within=scene.after_a_kill)
        _passes_over(scene, {} if every else {n: p[-2]["learned"] for n, p in by_partition.items()})


def _passes_over(scene: Scene, left: dict[int, int]) -> None:
    """The worker says so of each partition, and begins from what is left."""
    log = scene.log_text(0)
    begun = dict(re.findall(r"restored \(partition=(\d+).*?snapshot=(\w+)", log))
    for number in range(scene.app.partitions):
        assert re.search(rf"snapshot passed over \(partition={number}\b", log), log[-2000:]
        assert begun[str(number)] == str(left.get(number)), (begun, left)


def _snapshots(scene: Scene) -> dict[int, list[ManifestEntry]]:
    """Partition to the snapshots that stand, oldest first."""
    pointers = scene.app.snapshots()
    return {
        number: [each for each in pointers if each["partition"] == number]
        for number in range(scene.app.partitions)
    }


def _await_snapshots(scene: Scene, worker: WorkerProcess, count: int) -> None:
    """Wait until the worker, since its start, has stored so many more of each partition."""

    def stored() -> Counter[str]:
        return Counter(re.findall(r"\bsnapshot \(partition=(\d+)", scene.log_text(0)))

    before = stored()

    def there() -> bool:
        now = stored()
        return all(
            now[number] >= before[number] + count
            for number in map(str, range(scene.app.partitions))
        )

    worker.wait_until(there, message=f"{count} more snapshots of each partition")


def failing_store(scene: Scene, trouble: Callable[[Path], AbstractContextManager[None]]) -> None:
    """Snapshots cannot be stored for a while, in which the worker is killed; then all is well."""
    folder = scene.app.file.parent / STORE
    with _file_system(scene, folder):
        worker = scene.start()
        scene.begin_feed()
        _await_snapshots(scene, worker, 2)
        with trouble(folder):
            worker.wait_for_log("snapshot failed")
            scene.progress()
            worker.sigkill()
            worker = scene.start()
            scene.recover("SIGKILL", within=scene.after_a_kill)
            worker.wait_for_log("snapshot failed")
        _await_snapshots(scene, worker, 1)
        assert "Traceback" not in worker.log_text(), worker.log_text()[-2000:]
        scene.finish()
        scene.over = True


@contextmanager
def _file_system(scene: Scene, folder: Path) -> Iterator[None]:
    """A small file system for the store, where this user may mount one; it goes with the scene."""
    folder.mkdir()
    if os.geteuid() or not _done("mount", "-t", "tmpfs", "-o", f"size={STORE_SIZE}", "no", folder):
        scene.told("no file system could be mounted: a file stands in the way of the store instead")
        yield
        return
    try:
        yield
    finally:
        for worker in scene.workers.values():
            worker.end()
        assert _done("umount", folder), f"{folder} is still mounted"


def _done(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Nothing fits into the store."""
    if not os.path.ismount(folder):
        with _in_the_way(folder):
            yield
        return
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The store can be read, and that is all."""
    if not os.path.ismount(folder):
        with _in_the_way(folder):
            yield
        return
    assert _done("mount", "-o", "remount,ro", folder)
    try:
        yield
    finally:
        assert _done("mount", "-o", "remount,rw", folder)


@contextmanager
def _in_the_way(folder: Path) -> Iterator[None]:
    """Where a folder is expected, there is a file: nobody can write, or read."""
    aside = folder.rename(folder.with_suffix(".aside"))
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


_OFTEN = {"snapshots": OFTEN}
_SIGNED = {"snapshots": {**OFTEN, "key": KEY}}
_IN_FILES = {"snapshots": {**OFTEN, "store": STORE}}


def _forged(app: App, pointer: ManifestEntry) -> None:
    """Signed, but by somebody else."""
    forged(app, pointer, KEY[::-1].encode())


FAULTS = [
    Fault("snapshots bit-flipped", partial(damaged, damage=flipped), scene=_OFTEN),
    Fault("snapshots truncated", partial(damaged, damage=cut), scene=_OFTEN),
    Fault("snapshots of a wrong version", partial(damaged, damage=other_format), scene=_OFTEN),
    Fault("snapshots forged", partial(damaged, damage=_forged), scene=_SIGNED),
    Fault("snapshot store full", partial(failing_store, trouble=full), scene=_IN_FILES),
    Fault("snapshot store read-only", partial(failing_store, trouble=read_only), scene=_IN_FILES),
]
