"""The interface of a partition's processor, as runners see it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from millstream.core.join.replay_points import ReplayPoint
from millstream.core.models.interface.learner import Answer, Features, Learner
from millstream.core.processing.config import Confirmed, Ends, Records
from millstream.core.processing.partition_model import PartitionModel
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import BatchResult, InputName, Output

OutputLog = Literal["predictions", "examples"]


class PartitionProcessor(Protocol):
    """Turns the records of one partition into outputs, as a fold over its logs.

    It does nothing by itself: records go in, a `BatchResult` comes out, and a runner performs that
    in one transaction. If the transaction fails, the processor is discarded and restored; nothing
    in it can be undone.
    """

    inputs: tuple[InputName, ...]
    """The topics that it reads, each in the order of its offsets."""
    output_logs: tuple[OutputLog, ...]
    """Its own outputs that a restore reads back; none where the events alone restore it."""
    has_deadlines: bool
    """Whether time alone can produce results, so that it is called without records too."""
    epoch: int
    """The owner in whose name it writes (labels from a topic, at least once); 0: none."""
    model: PartitionModel

    def process(
        self,
        records: Records,
        ends: Ends,
        now: int,
        confirmed: Confirmed | None = None,
        most: int | None = None,
        /,
    ) -> BatchResult:
        """Process the next records of each input.

        `ends`: which inputs have no more to fetch. `now`: the worker's clock, ms. `confirmed`: when
        the broker last confirmed the end of an input (ms; None: now). `most`: the largest number of
        records to consume (None: no limit). Raises `StateInvalid` if the model fails while it
        learns.
        """
        ...

    def backlog(self, input_name: InputName, /) -> int:
        """Return the number of records of an input that were fetched and not yet consumed."""
        ...

    def overdue(self, now: int, /) -> list[InputName]:
        """Return the inputs whose end must be confirmed before deadlines on the clock pass."""
        ...

    def committed(self) -> None:
        """Note that all results so far are committed."""
        ...

    def pending(self) -> int:
        """Return the number of predictions that wait for their label."""
        ...

    def early_labels(self) -> int:
        """Return the number of labels that wait for their event."""
        ...

    def mark(self, positions: Mapping[InputName, int], predictions: int, examples: int, /) -> None:
        """Add a replay point: the input positions now, and the ends of its logs a moment ago."""
        ...

    def replay_points(self) -> list[ReplayPoint]:
        """Return the replay points that a snapshot needs, oldest first; none without own logs."""
        ...

    # -- the model ----------------------------------------------------------------------------

    @property
    def source(self) -> PartitionSource:
        """Names that its outputs carry."""
        return self.model.source

    @source.setter
    def source(self, source: PartitionSource) -> None:
        self.model.source = source

    @property
    def learner(self) -> Learner:
        """The model itself."""
        return self.model.learner

    @property
    def learned(self) -> int:
        """Number of examples that the model has learned."""
        return self.model.learned

    @learned.setter
    def learned(self, learned: int) -> None:
        self.model.learned = learned

    @property
    def latest(self) -> Features | None:
        """Features of the latest event predicted on, which a snapshot is verified with."""
        return self.model.latest

    @latest.setter
    def latest(self, latest: Features | None) -> None:
        self.model.latest = latest

    @property
    def before(self) -> Callable[[str, int], None] | None:
        """See `PartitionModel.before`."""
        return self.model.before

    @before.setter
    def before(self, before: Callable[[str, int], None] | None) -> None:
        self.model.before = before

    def announce(self, notes: Sequence[Output]) -> None:
        """Write these control records with the first result: a later replay needs them."""
        self.model.announced.extend(notes)

    def answer(self, features: Features) -> Answer:
        """Return the model's answer to an event; raises `DeadLetter`."""
        return self.model.answer(features)
