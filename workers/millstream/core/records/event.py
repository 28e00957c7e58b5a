"""An event: the content of a message of the events topic."""

from collections.abc import Callable
from typing import Any, NamedTuple

from millstream.core.models.interface.learner import Label


class Event(NamedTuple):
    """A message of the events topic."""

    id: str | int | None
    """None where the settings name no id: the source position is the id."""
    features: dict[str, Any]
    label: Label | None
    """None: without a label, or labels come from elsewhere."""
    time: int | None
    """Mapped timestamp in ms; None: Kafka's counts."""
    unknown: int
    """How many top-level fields the settings do not name."""


# The constructor of a named tuple costs three times as much, for each event.
new_event: Callable[[type[Event], tuple[Any, ...]], Event] = tuple.__new__
