"""Which versions of what decides about a model's state are installed here."""

import platform
from importlib.metadata import version


def library_versions() -> dict[str, str]:
    """Library to its version, as a snapshot keeps them."""
    libraries = ("river", "scikit-learn", "numpy", "millstream")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}
