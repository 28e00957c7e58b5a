"""Which request opens a transaction follows from how long both ways took, and nothing else."""

from collections.abc import Callable

from millstream.runners.opening import FEWEST, MOST, Opening


def ways(opening: Opening, transactions: int, seconds: Callable[[bool], float]) -> list[bool]:
    """Whether offsets went first, transaction by transaction, where a way takes `seconds`."""
    gone = []
    for _ in range(transactions):
        gone.append(opening.offsets_first)
        opening.took(seconds(opening.offsets_first))
    return gone


def quiet(offsets_first: bool) -> float:
    return 0.006 if offsets_first else 0.004


def busy(offsets_first: bool) -> float:
    """Where the broker is still ending the transaction before, librdkafka waits 20 ms."""
    return 0.007 if offsets_first else 0.024


def test_outputs_go_first_where_brokers_are_quick() -> None:
    """The other way is tried ever more rarely: it costs two round trips."""
    gone = ways(Opening(), 2 * MOST, quiet)
    assert gone[:3] == [False, True, False]
    assert sum(gone) <= 8
    assert sum(gone[-MOST:]) <= 1


def test_offsets_go_first_where_brokers_are_still_ending_the_transaction_before() -> None:
    gone = ways(Opening(), 2 * MOST, busy)
    assert gone[:3] == [False, True, True]
    assert gone.count(False) <= 8


def test_a_change_is_noticed_either_way() -> None:
    opening = Opening()
    ways(opening, MOST, quiet)
    assert ways(opening, 100, busy).count(False) <= 10
    ways(opening, MOST, busy)
    assert sum(ways(opening, 8 * MOST, quiet)[-MOST:]) <= 2


def test_one_transaction_that_takes_long_changes_nothing() -> None:
    opening = Opening()
    ways(opening, 100, quiet)
    opening.took(0.024)
    assert not opening.offsets_first


def test_two_in_a_row_are_followed_by_the_safer_way_for_a_while() -> None:
    opening = Opening()
    ways(opening, 100, quiet)
    opening.took(0.024)
    opening.took(0.024)
    gone = ways(opening, 200, quiet)
    assert all(gone[:FEWEST])
    assert not any(gone[150:])
