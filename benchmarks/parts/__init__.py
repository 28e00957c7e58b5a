"""The parts of the measurements, in the order of the report; each is a file of its own here."""

from benchmarks.parts import latencies, memory, models, peers, restoring, scaling, selection
from benchmarks.parts.part import Part

PARTS: tuple[Part, ...] = (
    selection.PART,
    peers.PART,
    models.PART,
    latencies.PART,
    scaling.PART,
    restoring.PART,
    memory.PART,
)
