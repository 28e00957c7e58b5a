"""An environment of its own for each peer, made once, under `.venv/peers`.

What a peer needs stands beside it in `peers/NAME.txt`, with bounds; what the model needs, in
`peers/model.txt`, and that is held to the very versions that the harness itself has, since a model
of another version would be another model. An environment is made anew when any of this changes.
"""

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.child import BenchmarkError

PEERS = Path(__file__).with_name("peers")
FOLDER = Path(__file__).parents[1] / ".venv" / "peers"
_SAME_AS_HERE = ("river", "scikit-learn", "scipy", "numpy", "joblib", "orjson")


def interpreter(name: str) -> str:
    """Give the Python of that peer's environment, which is made first if it is not there.

    Raises BenchmarkError where it cannot be made.
    """
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "made-from"
    constraints = "".join(f"{package}=={version(package)}\n" for package in _SAME_AS_HERE)
    texts = [path.read_text() for path in _requirements(name)]
    wanted = hashlib.sha256("\0".join([sys.version, constraints, *texts]).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        _call(name, sys.executable, "-m", "venv", "--clear", str(folder))
        (folder / "constraints.txt").write_text(constraints)
        wants = [word for path in _requirements(name) for word in ("-r", str(path))]
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        _call(name, *pip, "-c", str(folder / "constraints.txt"), *wants)
        stamp.write_text(wanted)
    return str(python)


def all_versions() -> dict[str, str]:
    """Package to version, of what the environments were made for that are there."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*/made-from")):
        found |= versions(path.parent.name)
    return found


def versions(name: str) -> dict[str, str]:
    """What is installed of the packages that `peers/NAME.txt` asks for."""
    asks = (
        "import sys, re; from importlib.metadata import version; "
        "print('\\n'.join(f'{p} {version(p)}' for p in sys.argv[1:]))"
    )
    done = subprocess.run(
        [interpreter(name), "-c", asks, *packages(name)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def packages(name: str) -> list[str]:
    """Name the packages in a peer's requirements."""
    lines = (PEERS / f"{name}.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [line.split(">=")[0].split("[")[0] for line in wanted]


def _requirements(name: str) -> list[Path]:
    return [PEERS / "model.txt", PEERS / f"{name}.txt"]


def _call(name: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the environment of {name} could not be made; {done.stderr[-1500:]}")
