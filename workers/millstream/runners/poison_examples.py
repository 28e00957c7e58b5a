"""Examples that make a model raise while it learns; a restore leaves them out."""

import logging
from typing import Final

from millstream.core.records.outputs import skip_note
from millstream.errors import StateInvalid, Stop
from millstream.state.restore_steps import Skips

log = logging.getLogger(__name__)

MAX_POISON_IN_A_ROW: Final = 10


class PoisonExamples:
    """Skips such examples, and stops the worker if they are too many."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def learned(self) -> None:
        """Account for a committed example."""
        self._in_a_row = 0

    def skip(self, partition: int, invalid: StateInvalid) -> Skips:
        """The skip list of the next restore, with the control record of the skip.

        Raises `Stop` if the model raises on one example after the other.
        """
        log.warning(
            "the model raised while it learned: restored without this record",
            extra={"partition": partition, "side": invalid.side, "offset": invalid.offset,
                   "reason": invalid.skip.detail},
        )  # fmt: skip
        self._in_a_row += 1
        if self._in_a_row >= MAX_POISON_IN_A_ROW:
            raise Stop(
                f"the model raised {invalid.skip.detail} on {self._in_a_row} examples and learned "
                f"none in between, the last of them at offset {invalid.offset} of partition "
                f"{partition} of events: do its features and labels suit it?"
            )
        note = None
        if invalid.side == "events":
            note = skip_note(partition, invalid.offset, invalid.skip)
        return {(invalid.side, invalid.offset): (invalid.skip, note)}
