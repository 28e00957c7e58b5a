"""What a part of the measurements is."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Say, Sizes
from benchmarks.results import Results
from benchmarks.stage import Stage


@dataclass(frozen=True)
class Part:
    """Something that can be measured by itself."""

    name: str
    title: str
    about: str
    """A paragraph for the report."""
    seconds: float
    """That a round takes, about, on two cores of a cloud machine."""
    measure: Callable[[Stage, Sizes, Say], Results]
    per_million: bool = False
    """Whether seconds for a million examples are what one wants to know."""
    once: bool = False
    """Measured in one round only."""

    def estimate(self, sizes: Sizes) -> float:
        """Seconds that it will take."""
        return self.seconds * (1 if self.once else sizes.rounds)
