"""The parts of the harness do what the matrix takes for granted."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clusters import free_port
from tests.faults.fault import Fault
from tests.faults.history import Violation
from tests.faults.matrix import FAULTS, choose
from tests.faults.proxy import Proxy
from tests.faults.results import append, load
from tests.faults.run import Result
from tests.faults.scene import Recovery, Variant
from tests.faults.soak import Sample, growth
from tests.faults.table import BEGIN, END, table, write
from tests.support.kafka.cluster import wait_until

KEY = b"\x00\x1a"
"""Of an `EndTxn` request."""


def frame(correlation: int, body: bytes = b"", key: bytes = b"") -> bytes:
    content = key + (b"\x00\x00" if key else b"") + correlation.to_bytes(4, "big") + body
    return len(content).to_bytes(4, "big") + content


class Echo:
    """A broker that answers each request with its correlation id."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    @staticmethod
    def _answer(client: socket.socket) -> None:
        try:
            while size := client.recv(4):
                request = client.recv(int.from_bytes(size, "big"))
                client.sendall(frame(int.from_bytes(request[4:8], "big")))
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    broker = Echo()
    with Proxy(free_port(), broker.address) as started:
        yield started
    broker.close()


def client(proxy: Proxy) -> socket.socket:
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ask(end: socket.socket, correlation: int) -> bytes:
    end.sendall(frame(correlation, key=KEY))
    return end.recv(100)


def test_what_is_sent_passes_both_ways(proxy: Proxy) -> None:
    with client(proxy) as end:
        assert ask(end, 7) == frame(7)
        assert ask(end, 8) == frame(8)


def test_a_swallowed_answer_is_that_of_the_request_and_ends_its_connection(proxy: Proxy) -> None:
    with client(proxy) as end:
        assert ask(end, 1) == frame(1)
        proxy.swallow = 99
        assert ask(end, 2) == frame(2)
        proxy.swallow = 26
        assert ask(end, 3) == b""
        assert proxy.swallowed == 1
    with client(proxy) as end:
        assert ask(end, 4) == frame(4)


def test_cut_connections_end_and_new_ones_are_taken(proxy: Proxy) -> None:
    with client(proxy) as end:
        assert ask(end, 1) == frame(1)
        proxy.cut()
        assert end.recv(1) == b""
    with client(proxy) as end:
        assert ask(end, 2) == frame(2)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_a_proxy_that_is_down_takes_no_connection_until_it_is_up(proxy: Proxy) -> None:
    proxy.down()
    with pytest.raises(ConnectionRefusedError):
        client(proxy)
    proxy.up()
    with client(proxy) as end:
        assert ask(end, 1) == frame(1)


def test_a_silent_proxy_answers_nothing_and_resets_when_it_heals(proxy: Proxy) -> None:
    with client(proxy) as end:
        assert ask(end, 1) == frame(1)
        proxy.silent = True
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask(end, 2)
        end.settimeout(10)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            wait_until(lambda: end.recv(1) and False)


def test_a_delay_makes_requests_and_answers_late(proxy: Proxy) -> None:
    with client(proxy) as end:
        proxy.delay = 0.2
        asked = time.monotonic()
        assert ask(end, 1) == frame(1)
        assert time.monotonic() - asked >= 0.4


def result(
    fault: str, *violations: Violation, error: str | None = None, within: float | None = None
) -> Result:
    variant = Variant(late=True, guarantee="exactly_once")
    return Result(fault, variant, list(violations), [Recovery("x", 1.23, within)], error)


def test_the_table_says_which_invariant_broke_and_how_often() -> None:
    rows = table(
        [result("a"), result("a", Violation("I2", 0, "x"), Violation("I2", 1, "y")), result("b")]
    ).splitlines()
    assert rows[2].startswith("| a | 2 | holds | **1 broke** | holds |")
    assert rows[3].startswith("| b | 1 | holds | holds |")


def test_a_fault_whose_every_run_was_stuck_is_not_said_to_hold() -> None:
    row = table([result("a", error="Traceback ...")]).splitlines()[2]
    assert "holds" not in row
    assert "| 1 | 1.2, at most 1.2 |" in row


def test_what_came_later_than_is_promised_is_counted_and_is_no_violation_by_itself() -> None:
    late, in_time = result("a", within=1.0), result("a", within=2.0)
    assert late.good
    assert "| 1 of 2 late |" in table([late, in_time])
    assert "late" not in table([in_time, result("a")])


def test_results_that_were_written_down_make_the_same_table_again(tmp_path: Path) -> None:
    results = [result("a", Violation("I2", 0, "x")), result("b", error="stuck", within=1.0)]
    for each in results:
        append(tmp_path / "results", each)
    assert load(tmp_path / "results") == results


def test_the_table_takes_the_place_of_the_one_before_in_a_document(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nyesterday\n{END}\nafter\n")
    write(document, [result("a")])
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n1 runs of 1 cells")
    assert text.endswith(f" |\n{END}\nafter\n")
    assert "yesterday" not in text
    write(document, [result("a")])
    assert document.read_text() == text
    document.write_text("nothing to replace")
    with pytest.raises(ValueError, match="has no lines"):
        write(document, [result("a")])


def test_a_sample_has_each_fault_once_before_any_twice_and_is_the_same_for_a_seed() -> None:
    names = [fault.name for fault, _ in choose(FAULTS, sample=12, seed=5)]
    assert len(set(names)) == 12
    assert choose(FAULTS, sample=12, seed=5) == choose(FAULTS, sample=12, seed=5)
    assert choose(FAULTS, sample=12, seed=5) != choose(FAULTS, sample=12, seed=6)


def test_words_choose_cells_by_fault_and_variant() -> None:
    cells = choose(FAULTS, ["SIGKILL mid produce", "delayed, exactly once"])
    assert [str(variant) for _, variant in cells] == ["delayed, exactly once, classic"]


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert all(isinstance(fault, Fault) and fault.variants() for fault in FAULTS)


def test_growing_memory_and_leaking_descriptors_are_found() -> None:
    flat = [Sample(100_000_000, 20)] * 40
    assert growth(flat) == []
    assert "memory" in growth([Sample(n * 1_000_000 + 10**8, 20) for n in range(40)])[0].text
    assert "descriptors" in growth([Sample(10**8, 20 + n // 4) for n in range(40)])[0].text
    assert growth(flat[:3]) != []
