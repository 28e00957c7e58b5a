"""The repository is whole: links lead somewhere, nothing large, nothing of one machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 1_000_000
LINK = re.compile(r"\]\(([^)\s]+)\)")
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.$})-])/(?:work|root|home|Users)/\w"  # somebody's folders
    r"|(?:index-url|extra-index|trusted-host|find-links)"  # where somebody's packages come from
    r"|\b(?:10\.\d{1,3}|192\.168)\.\d{1,3}\.\d{1,3}\b"  # somebody's network
)


def tracked() -> list[Path]:
    """Every file that is in the repository, or would be after `git add`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone: what belongs to the repository is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_every_link_in_a_document_leads_to_a_file() -> None:
    dead = []
    for document in (path for path in tracked() if path.suffix == ".md"):
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not (document.parent / path).exists():
                dead.append(f"{document.relative_to(ROOT)}: {target}")
    assert dead == []


def test_no_file_is_large() -> None:
    large = [path.name for path in tracked() if path.stat().st_size > LARGEST]
    assert large == []


def test_no_file_speaks_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in OF_ONE_MACHINE.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text", ["'/home/ann/x'", "pip --index-url=https://x", "host: 192.168.1.7"]
)
def test_what_speaks_of_one_machine_is_found(text: str) -> None:
    assert OF_ONE_MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["./workers/millstream", "$(HOME)/x", "10.25 and 10.1.2", "https://a.b/home/x"]
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert not OF_ONE_MACHINE.search(text)
