"""The version of Millstream, and of the libraries that decide about a model's state."""

import platform
from importlib.metadata import version
from typing import Final

__version__: Final = "0.1.0"


def library_versions() -> dict[str, str]:
    """Library to its version, as a snapshot keeps them."""
    libraries = ("river", "scikit-learn", "numpy", "millstream")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}
