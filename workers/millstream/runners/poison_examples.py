"""What is done about an example on which a model raises as it learns."""

import logging
from typing import Final

from millstream.core.records.outputs import skip_note
from millstream.errors import StateInvalid, Stop
from millstream.state.restore_steps import Skips

log = logging.getLogger(__name__)

MAX_BROKEN_IN_A_ROW: Final = 10


class PoisonExamples:
    """Leaves such examples out, one after the other, and knows when they are too many."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def learned(self) -> None:
        """Something was learned, and committed."""
        self._in_a_row = 0

    def skip(self, partition: int, broken: StateInvalid) -> Skips:
        """What the next restore is to leave out, with the note that is to say so.

        Raises `Stop` where the model breaks on one example after the other.
        """
        log.warning(
            "the model raised while it learned: restored without this record",
            extra={"partition": partition, "side": broken.side, "offset": broken.offset,
                   "reason": broken.skip.detail},
        )  # fmt: skip
        self._in_a_row += 1
        if self._in_a_row >= MAX_BROKEN_IN_A_ROW:
            raise Stop(
                f"the model raised {broken.skip.detail} on {self._in_a_row} examples and "
                f"learned none in between, the last of them at offset {broken.offset} of partition "
                f"{partition} of events: do its features and labels suit it?"
            )
        note = None
        if broken.side == "events":
            note = skip_note(partition, broken.offset, broken.skip)
        return {(broken.side, broken.offset): (broken.skip, note)}
