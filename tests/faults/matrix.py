"""The matrix: every fault, under every setting that it is staged in."""

from tests.faults import failures_of_workers
from tests.faults.fault import Fault

FAULTS: list[Fault] = [*failures_of_workers.FAULTS]
