"""Write deploy/constraints.txt: the versions that the image is built from.

    make constraints        # then look at what changed, and run: make test-image

It asks pip what it would install today, for the oldest Python that Millstream supports: those
versions have wheels for the newer ones too. Names and versions only, so that the file is good with
any package registry.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CONSTRAINTS: Final = Path(__file__).with_name("constraints.txt")
OLDEST: Final = "3.11"
TOOLS: Final = ("hatchling", "cyclonedx-bom")
"""What builds the worker's wheel, and what lists the image's packages."""
HEADER: Final = """\
# What the image is built from: the worker with every runner, and the tools of the build.
# Written by `make constraints`; pyproject.toml says which versions are possible.
"""


def resolve() -> dict[str, str]:
    """Names and versions that pip would install; raises CalledProcessError where it cannot."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ",".join(project["optional-dependencies"])
    with tempfile.TemporaryDirectory() as target:
        done = subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--dry-run",
                "--ignore-installed", "--only-binary", ":all:", "--python-version", OLDEST,
                "--target", target, "--report", "-", f"{ROOT}[{extras}]", *TOOLS,
            ],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    found = (item["metadata"] for item in json.loads(done.stdout)["install"])
    return {item["name"].lower(): item["version"] for item in found}


def main() -> None:
    """Resolve, and write the file anew."""
    versions = resolve()
    del versions["millstream"]
    lines = (f"{name}=={version}\n" for name, version in sorted(versions.items()))
    CONSTRAINTS.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{CONSTRAINTS}: {len(versions)} packages")


if __name__ == "__main__":
    main()
