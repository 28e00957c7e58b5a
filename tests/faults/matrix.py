"""The matrix: every fault, under every setting that it is staged in.

A new kind of fault is a function that takes a `Scene`, and a line in the table at the end of one of
these files.
"""

import random
from collections.abc import Sequence

from tests.faults import (
    failures_of_brokers,
    failures_of_data,
    failures_of_network,
    failures_of_stores,
    failures_of_workers,
    mixes,
)
from tests.faults.fault import Fault
from tests.faults.scene import Variant

FAULTS: list[Fault] = [
    *failures_of_workers.FAULTS,
    *failures_of_brokers.FAULTS,
    *failures_of_network.FAULTS,
    *failures_of_data.FAULTS,
    *failures_of_stores.FAULTS,
    *mixes.FAULTS,
]


def choose(
    faults: Sequence[Fault],
    words: Sequence[str] = (),
    skip: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 1,
) -> list[tuple[Fault, Variant]]:
    """The cells whose name holds all the words and none of `skip`, or a sample of them.

    In the order of the matrix; a sample has as many different faults as it can.
    """
    cells = [
        (fault, variant)
        for fault in faults
        for variant in fault.variants()
        if all(word in f"{fault.name} [{variant}]" for word in words)
        and not any(word in f"{fault.name} [{variant}]" for word in skip)
    ]
    if sample is None or sample >= len(cells):
        return cells
    shuffled = random.Random(seed).sample(cells, len(cells))
    seen: dict[str, int] = {}
    turn = []
    for fault, _ in shuffled:
        seen[fault.name] = seen.get(fault.name, -1) + 1
        turn.append(seen[fault.name])
    chosen = sorted(range(len(cells)), key=lambda number: turn[number])[:sample]
    return [cell for cell in cells if cell in [shuffled[number] for number in chosen]]
