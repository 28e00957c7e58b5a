"""The configuration of a partition's processor, and the types of its arguments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from millstream.core.formats.codec import Codecs, no_codecs
from millstream.core.models.interface.learner import Learner
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import InputName, Record
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import DeadLetter

Records = Mapping[InputName, Sequence[Record]]
Ends = Mapping[InputName, bool]
Confirmed = Mapping[InputName, int]


@dataclass(frozen=True, slots=True)
class SettingsVersion:
    """The settings under which records are read from offset `start` of events on."""

    start: int
    events: EventsSpec
    labels: LabelsSpec


@dataclass(frozen=True, slots=True)
class ProcessorConfig:
    """Everything a processor is built from, besides its logs."""

    source: PartitionSource
    model: ModelSpec
    build_learner: Callable[[], Learner]
    settings_versions: tuple[SettingsVersion, ...]
    """In the order of their starts; the last one is that of today's settings."""
    skips: Mapping[tuple[str, int], DeadLetter]
    """Records that are not learned from although their bytes do not say so. `("events", offset)` is
    left out altogether, so is `("labels", offset)`; `("examples", source offset of the event)` is
    predicted but never learned."""
    codecs: Codecs = no_codecs
    """The codecs that the settings of any version name."""
