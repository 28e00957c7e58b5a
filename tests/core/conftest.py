"""Tests of labels that come late run on every store of waiting predictions."""

import pytest
from tests.core.shards import stores

from millstream.core.waiting import MemoryStore
from millstream.stores.disk import DiskStore


@pytest.fixture(params=[MemoryStore, DiskStore], ids=["memory", "disk"])
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for it with `pytestmark = pytest.mark.usefixtures("each_store")`."""
    monkeypatch.setattr(stores, "make", request.param)
