"""What a runner has to offer to be put through the scenarios.

A file in `adapters` is all that a new runner needs. It holds a class `Adapter`, which meets the
protocol below; its tests are there as soon as the file is.

One adapter is one app in one scenario: it is made, plays a part, and is closed. Sending does not
wait for the worker, `settle` does. Times are those of the messages; the clock of the worker lies
behind all of them (`clock`, where a runner has none of its own).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from millstream.core.records.record import Headers
from tests.conformance.scenario import BEGIN_MS, Message, Moment

Role = Literal["predictions", "examples", "dead_letters"]
CLOCK_MS = BEGIN_MS + 1000 * 24 * 3_600_000
"""What a runner without a clock may tell the worker to begin with, ms since 1970."""


class Seen(NamedTuple):
    """A record that a reader of an output topic sees (exactly once: a `read_committed` one)."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Ended(Exception):
    """The worker has ended by itself, with this sentence."""


class Stage(NamedTuple):
    """What an adapter is made from."""

    name: str
    """A name for the app that no other has."""
    settings: Mapping[str, Any]
    """All but `kafka`, which is the runner's to add, among them the names of the input topics:
    `<app>.events` and `<app>.labels`."""
    partitions: int
    folder: Path
    """For files of its own."""
    kafka: Any
    """A `tests.support.kafka.cluster.Kafka`; None where `needs_kafka` is False."""


class Adapter(Protocol):
    """One app on one runner."""

    needs_kafka: ClassVar[bool]
    guarantees: ClassVar[tuple[str, ...]]
    """What it can do as `processing_guarantee`; the first is for scenarios that name none."""
    at_once: ClassVar[int]
    """How many scenarios may be played at the same time: most of it is waiting."""

    @staticmethod
    def why_not() -> str | None:
        """What is missing to use the runner; None: nothing. Its tests are skipped then."""

    def __init__(self, stage: Stage) -> None:
        """Make the topics; nothing works yet."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, *_: object) -> None:
        """End whatever still runs, however that ended."""

    def start(self, settings: Mapping[str, Any]) -> None:
        """Start a worker with these settings; it need not be ready yet."""

    def stop(self) -> None:
        """Stop the worker, in good order, and wait until it has ended."""

    def send(self, messages: Sequence[Message]) -> None:
        """Append messages to their topics, in this order; `at` is set in each."""

    def settle(self) -> None:
        """Wait until all that was sent is worked off and committed; raises `Ended`."""

    def die(self, moment: Moment, messages: Sequence[Message]) -> None:
        """Kill the worker at this moment of its first commit of these, and start another one."""

    def join(self) -> None:
        """Start a second worker, and wait until it has its share of the partitions."""

    def leave(self) -> None:
        """Stop the second worker, and wait until the first has all partitions."""

    def let_pass(self, duration: int, until: Callable[[], bool]) -> None:
        """Let so many ms pass in which nothing comes; wait for `until` where time is real."""

    def read(self, role: Role) -> list[Seen]:
        """All that stands in an output topic, each partition in its order."""

    # After the last `stop`:

    def counts(self) -> Counter[str]:
        """What all workers but those that died counted, as `skipped tombstone`, summed up."""

    def digests(self) -> dict[int, str]:
        """By partition: digest of the weights, as the worker had them when it stopped."""

    def learned(self) -> dict[int, int]:
        """By partition: how many examples the model had learned when the worker stopped."""

    def restored_from_snapshot(self) -> bool:
        """Whether the latest restore of partition 0 began from a snapshot."""
