"""The parts of the measurements, in the order of the report; each is a file of its own here."""

from benchmarks.parts import (
    latencies,
    limits,
    memory,
    models,
    peers,
    restoring,
    scaling,
    selection,
    waiting,
)
from benchmarks.parts.part import Part

PARTS: tuple[Part, ...] = (
    selection.PART,
    limits.PART,
    peers.PART,
    models.PART,
    latencies.PART,
    scaling.PART,
    restoring.PART,
    waiting.PART,
    memory.PART,
)
