"""What a committed outcome counts: each counter with its meaning and its labels."""

from collections.abc import Sequence
from typing import Final

from millstream.core.records.record import REASONS, InputName

SIDES: Final[tuple[InputName, ...]] = ("events", "labels")
SKIPS: Final = ("tombstone", "duplicate_label", "replayed")
EXPIRIES: Final = ("drop", "assume", "early")

_Values = Sequence[tuple[str, ...]]
COUNTED: Final[tuple[tuple[str, str, tuple[str, ...], _Values], ...]] = (
    ("consumed", "Records taken in, by side.", ("side",), [(side,) for side in SIDES]),
    ("predicted", "Predictions published.", (), [()]),
    ("learned", "Examples learned.", (), [()]),
    (
        "dead_lettered",
        "Records sent to dead letters, by the stage that failed and why.",
        ("stage", "reason"),
        [(stage, reason) for reason, (stage, _) in REASONS.items()],
    ),
    (
        "skipped",
        (
            "Records that need nothing done: a tombstone, a label for an id already resolved, "
            "an input that an earlier commit covers."
        ),
        ("why",),
        [(why,) for why in SKIPS],
    ),
    (
        "expired",
        (
            "Predictions whose label did not come, by what was done: drop, learn the assumed "
            "one, or give up early to make room (labels.at_max)."
        ),
        ("outcome",),
        [(result,) for result in EXPIRIES],
    ),
    (
        "repeated_id",
        "Events predicted whose id was already waiting for its label, or lately resolved.",
        (),
        [()],
    ),
    (
        "unlabelled",
        "Events predicted without their inline label, so not learned from.",
        (),
        [()],
    ),
    ("unknown_fields", "Fields ignored that the settings do not name.", (), [()]),
    ("held", "Labels that came before their event and are held for it.", (), [()]),
)
"""The names that `core.records.Outcome.counts` may have: meaning, labels, and the labels' values,
all of which are there from zero."""
