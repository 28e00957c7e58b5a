"""Settings files to run commands with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.config.settings import Settings

RIVER = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"
UNREACHABLE = "127.0.0.1:1"


def inline(app: str, bootstrap: str = UNREACHABLE) -> dict[str, Any]:
    """Describe an app whose events carry their labels."""
    return {
        "app": app,
        "kafka": {"bootstrap.servers": bootstrap},
        "events": {"topic": f"{app}.sites", "id": "id", "label": "phishing"},
        "labels": {"from": "event"},
        "model": {"river": RIVER},
    }


def delayed(app: str, bootstrap: str = UNREACHABLE) -> dict[str, Any]:
    """Describe an app whose labels come on a topic of their own; some paths are nested."""
    return {
        "app": app,
        "kafka": {"bootstrap.servers": bootstrap},
        "events": {
            "topic": f"{app}.sites",
            "id": "site.id",
            "features": ["page.https", "page.popup_window", "long_url"],
        },
        "labels": {
            "from": "topic",
            "topic": f"{app}.verdicts",
            "id": "site",
            "label": "verdict.phishing",
            "wait": "7d",
        },
        "model": {"river": RIVER},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a settings file."""

    def write_file(settings: dict[str, Any]) -> Path:
        path = tmp_path / f"{settings.get('app', 'settings')}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path

    return write_file


def build(settings: dict[str, Any]) -> Settings:
    """Build settings without a file."""
    return Settings(**settings)
