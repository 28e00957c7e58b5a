"""Tests of labels that come late run on every store of waiting predictions."""

import pytest

from millstream.core.join.pending_store import MemoryPendingStore
from millstream.disk_store.store import DiskStore
from tests.support.processors import stores


@pytest.fixture(params=[MemoryPendingStore, DiskStore], ids=["memory", "disk"])
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for it with `pytestmark = pytest.mark.usefixtures("each_store")`."""
    monkeypatch.setattr(stores, "make", request.param)
