"""The history of a partition's owners."""

from collections.abc import Mapping, Sequence

import orjson

from millstream.core.records.record import Record


class OwnershipHistory:
    """The epochs of a partition's owners, where no transaction fences the previous one.

    An owner record in `examples` is only a claim: a worker that the group has removed may write one
    before it notices. It counts once the group has committed offsets in its name, which the broker
    refuses to a worker that is no member. So the owners that count are the last one that committed,
    and from there back the one that each of them names as its predecessor.
    """

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        """`known`: the `chain` in a snapshot."""
        self._predecessors = {int(epoch): before for epoch, before in (known or {}).items()}

    def chain(self, epoch: int) -> dict[str, int]:
        """Return each epoch's predecessor, from this one back, as JSON holds it."""
        chain: dict[str, int] = {}
        while epoch in self._predecessors and str(epoch) not in chain:
            chain[str(epoch)] = self._predecessors[epoch]
            epoch = self._predecessors[epoch]
        return chain

    def add(self, record: Record) -> None:
        """Apply a record of examples."""
        example = orjson.loads(record.value or b"{}")
        if example.get("kind") == "owner":
            self._predecessors[example["owner"]] = example["after"]

    def add_all(self, records: Sequence[Record]) -> None:
        """Apply some records of examples."""
        for record in records:
            self.add(record)

    def newest(self) -> int:
        """Return the highest epoch, whether it counts or not."""
        return max(self._predecessors, default=0)

    def owners(self, committed: int | None) -> set[int]:
        """Return the epochs that count.

        `committed`: the one in whose name the group holds offsets; None: the group has forgotten
        it, and the newest claim counts.
        """
        epoch = self.newest() if committed is None else committed
        owners = {0}
        while epoch not in owners:
            owners.add(epoch)
            epoch = self._predecessors.get(epoch, 0)
        return owners
