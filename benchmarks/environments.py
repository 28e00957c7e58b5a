"""An environment of its own for each peer, made once, under `.venv/peers`.

What a peer needs stands beside it in `peers/NAME.txt`, with bounds; what the model needs, in
`peers/model.txt`, and that is held to the very versions that the harness itself has, since a model
of another version would be another model. A peer that runs on Java has `peers/NAME.xml` too: what
Maven gets for it, into the environment's folder `jars`. An environment is made anew when any of
this changes.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.child import BenchmarkError

PEERS = Path(__file__).with_name("peers")
FOLDER = Path(__file__).parents[1] / ".venv" / "peers"
_SAME_AS_HERE = ("river", "scikit-learn", "scipy", "numpy", "joblib", "orjson")
_OVERRULED = {"flink"}
"""Whose bounds exclude the model's versions; those are installed over what it asks for. Of PyFlink
2.2.1, apache-beam wants numpy below 2.2, River 0.26 at least 2.2.5."""
_MAVEN = (
    "mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums",
    "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
)  # fmt: skip


def interpreter(name: str) -> str:
    """Give the Python of that peer's environment, which is made first if it is not there.

    Raises BenchmarkError where it cannot be made.
    """
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "made-from"
    constraints = "".join(f"{package}=={version(package)}\n" for package in _SAME_AS_HERE)
    pom = _pom(name)
    texts = [path.read_text() for path in (*_requirements(name), *pom)]
    wanted = hashlib.sha256("\0".join([sys.version, constraints, *texts]).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        if pom and (missing := next((x for x in ("java", "mvn") if not shutil.which(x)), None)):
            raise BenchmarkError(f"{name} needs Java 17 and Maven, and there is no {missing}")
        folder.mkdir(parents=True, exist_ok=True)
        _call(name, sys.executable, "-m", "venv", "--clear", str(folder))
        (folder / "constraints.txt").write_text(constraints)
        _install(name, str(python), folder / "constraints.txt")
        for path in pom:
            _call(name, *_MAVEN, f"--file={path}", f"-DoutputDirectory={folder / 'jars'}")
        stamp.write_text(wanted)
    return str(python)


def all_versions() -> dict[str, str]:
    """Package to version, of what the environments were made for that are there."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*/made-from")):
        found |= versions(path.parent.name) | connectors(path.parent.name)
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


def connectors(name: str) -> dict[str, str]:
    """Artifact to version, of what `peers/NAME.xml` asks for."""
    named = r"<artifactId>([^<]+)</artifactId>\s*<version>([^<]+)</version>\s*(?:<excl|</dep)"
    return {
        artifact: asked
        for pom in _pom(name)
        for artifact, asked in re.findall(named, pom.read_text())
    }


def packages(name: str) -> list[str]:
    """Name the packages in a peer's requirements."""
    lines = (PEERS / f"{name}.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [line.split(">=")[0].split("[")[0] for line in wanted]


def _requirements(name: str) -> list[Path]:
    return [PEERS / "model.txt", PEERS / f"{name}.txt"]


def _pom(name: str) -> list[Path]:
    return list(PEERS.glob(f"{name}.xml"))


def _install(name: str, python: str, constraints: Path) -> None:
    model, own = ("-r", str(PEERS / "model.txt")), ("-r", str(PEERS / f"{name}.txt"))
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    if name in _OVERRULED:
        _call(name, *pip, *own)
        _call(name, *pip, "-c", str(constraints), *model)
    else:
        _call(name, *pip, "-c", str(constraints), *model, *own)


def _call(name: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout)[-1500:]  # Maven's errors go to its output
        raise BenchmarkError(f"the environment of {name} could not be made; {said}")
