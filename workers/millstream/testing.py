"""A pytest fixture to test settings and models without a broker.

In the `conftest.py` of the tests: `pytest_plugins = ["millstream.testing"]`.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import pytest

from millstream.config.arguments import NOWHERE
from millstream.config.settings import make_settings
from millstream.config.yaml_file import merge, read_file
from millstream.memory import Memory

MillstreamApp = Callable[..., Memory]


@pytest.fixture
def millstream_app() -> MillstreamApp:
    """Make an app in memory of a settings file: `millstream_app("millstream.yaml")`.

    Sections that are named besides are put over those of the file:
    `millstream_app("millstream.yaml", labels={"wait": "1h"}, partitions=2)`. Instead of a file it
    may be what one would hold. The environment has no say.
    """

    def make(
        settings: str | PathLike[str] | Mapping[str, Any], *, partitions: int = 1, **over: Any
    ) -> Memory:
        if isinstance(settings, Mapping):
            document, folder = deepcopy(dict(settings)), Path()
        else:
            document, folder = read_file(Path(settings)), Path(settings).parent
        document = {"kafka": dict(NOWHERE), **document}
        merge(document, over)
        return Memory(make_settings(document, folder), partitions=partitions)

    return make
