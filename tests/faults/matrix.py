"""The matrix: every fault, under every setting that it is staged in.

A new kind of fault is a function that takes a `Scene`, and a line in the table at the end of one of
these files; faults of the snapshot store belong into a file of their own, `failures_of_stores`.
"""

from tests.faults import (
    failures_of_brokers,
    failures_of_data,
    failures_of_network,
    failures_of_workers,
    mixes,
)
from tests.faults.fault import Fault

FAULTS: list[Fault] = [
    *failures_of_workers.FAULTS,
    *failures_of_brokers.FAULTS,
    *failures_of_network.FAULTS,
    *failures_of_data.FAULTS,
    *mixes.FAULTS,
]
