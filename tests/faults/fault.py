"""What a fault is: a name, what is done, and under which settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tests.faults.clusters import Needs
from tests.faults.scene import Guarantee, Protocol, Scene, Variant

GUARANTEES: tuple[Guarantee, ...] = ("exactly_once", "at_least_once")
CLASSIC: tuple[Protocol, ...] = ("classic",)
BOTH: tuple[Protocol, ...] = ("classic", "consumer")


@dataclass(frozen=True)
class Fault:
    """One row of the matrix."""

    name: str
    play: Callable[[Scene], None]
    """Stages it, from the start of the first worker on; what is still to be worked off when it
    returns is worked off, and everything verified, by `Scene.finish`."""
    needs: Needs = "any"
    guarantees: tuple[Guarantee, ...] = GUARANTEES
    late: tuple[bool, ...] = (False, True)
    protocols: tuple[Protocol, ...] = CLASSIC
    """Both where the fault touches groups."""
    scene: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `Scene`."""

    def __str__(self) -> str:
        return self.name

    def variants(self) -> list[Variant]:
        """Every combination that it is staged in."""
        return [
            Variant(late, guarantee, protocol)
            for late, guarantee, protocol in product(self.late, self.guarantees, self.protocols)
        ]
