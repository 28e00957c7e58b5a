"""A call that never returns costs a thread and not the worker."""

import threading

import pytest

from millstream.kafka.call_timeout import CallWithTimeout, call_with_timeout


def test_a_call_that_does_not_return_in_time_is_left_behind() -> None:
    answer = threading.Event()

    def wait() -> None:
        answer.wait(60)

    call = CallWithTimeout(wait)
    assert not call.returned(0.01)
    answer.set()
    assert call.returned(None)


def test_what_it_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        call_with_timeout(None, fail)


def test_its_log_lines_carry_the_name_of_the_caller() -> None:
    names: list[str] = []
    assert call_with_timeout(None, lambda: names.append(threading.current_thread().name))
    assert names == [threading.current_thread().name]
