"""Snapshots that the release of River before ours has written: plain ones are read, others are not.

`old_river/` holds some that River 0.25.0 wrote. Where that release can be installed (a minute, into
a folder of its own), it also writes them before our eyes.
"""

import os
import subprocess
import venv
from pathlib import Path

import pytest

from millstream._versions import library_versions
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.expression import build
from millstream.core.models.river.kinds import river_learner
from millstream.core.snapshots.snapshot import BadSnapshot, load, unseal
from tests.unit.core.models.state_codec.write_old_snapshots import (
    MODELS,
    OPAQUE,
    PICKLED,
    PLAIN,
    PROBE,
    VERSION,
    rows,
    write,
)

HERE = Path(__file__).parent
ROOT = HERE.parents[4]


@pytest.fixture(scope="module")
def just_written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("river")
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    packages = ["river<0.26", "orjson", "pydantic", "scikit-learn"]
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"River before 0.26 cannot be installed here: {installed.stderr[-300:]}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workers")}
    written = folder / "snapshots"
    script = HERE / "write_old_snapshots.py"
    subprocess.run([python, str(script), str(written)], env=environment, check=True)
    return written


@pytest.fixture(scope="module", params=["kept", "just written"])
def snapshots(request: pytest.FixtureRequest) -> Path:
    if request.param == "kept":
        return HERE / "old_river"
    folder: Path = request.getfixturevalue("just_written")
    return folder


def read(folder: Path, name: str, *, allow: bool = False) -> Learner:
    snapshot = unseal((folder / f"{name}.snapshot").read_bytes())
    assert snapshot.about.versions["river"] < "0.26"
    return load(
        snapshot,
        lambda: river_learner(build(MODELS[name])),
        VERSION,
        library_versions(),
        allow_version_change=allow,
    )


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_snapshot_of_the_release_before_is_read_and_goes_on_learning(
    snapshots: Path, name: str
) -> None:
    learner = read(snapshots, name)
    before = learner.predict(PROBE)
    for features, label in rows(regresses=learner.kind == "regressor"):
        learner.predict(features)
        learner.learn(features, label)
    assert learner.predict(PROBE) != before


@pytest.mark.parametrize("name", OPAQUE)
def test_statistics_in_rust_are_read_only_where_the_settings_allow_it(
    snapshots: Path, name: str
) -> None:
    with pytest.raises(BadSnapshot, match=r"written with river 0\.25"):
        read(snapshots, name)
    read(snapshots, name, allow=True)


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_of_the_release_before_is_refused(just_written: Path, name: str) -> None:
    with pytest.raises(BadSnapshot, match=r"written with river 0\.25"):
        read(just_written, name)


def test_the_script_writes_the_same_with_the_river_that_is_here(tmp_path: Path) -> None:
    write(tmp_path)
    for name in MODELS:
        snapshot = unseal((tmp_path / f"{name}.snapshot").read_bytes())
        assert snapshot.proof.portable == (name in PLAIN)
        assert snapshot.proof.codec == ("pickle" if name in PICKLED else "json")
