"""Summary of connection errors: each broker address with the reason that it gave."""

import re
from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaError

_ERROR: Final = re.compile(
    r"(?:\w+://)?(?P<address>[^/\s]+)/(?:bootstrap|-?\d+): (?:Connect to \S+ failed: )?"
    r"(?P<why>.*?)(?: \(after \d+ms in state .*\))?",
    re.DOTALL,
)
"""As librdkafka writes it: `ssl://host:9092/bootstrap: Connect to ... (after 3ms in state ...)`."""
_DEFAULT_PORT: Final = 9092


def no_answer(servers: str, errors: Iterable[KafkaError]) -> str:
    """List each address with its first error; `servers`: the property bootstrap.servers.

    An address without an error did not answer in time: it may drop packets.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    for error in errors:
        # It only sums the others up, and its numbers count more than brokers.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            continue
        match = _ERROR.fullmatch(error.str())
        if match:
            found.setdefault(match["address"], match["why"])
        else:
            others.append(error.str())
    asked = dict.fromkeys(map(_address, filter(None, map(str.strip, servers.split(",")))))
    clauses = [f"{each}: {found.get(each, 'no answer in time')}" for each in asked | found]
    return "; ".join([*clauses, *dict.fromkeys(others)])


def _address(server: str) -> str:
    """Normalise an entry to host:port; it may begin with a protocol and leave the port out."""
    host = server.rpartition("://")[2]
    return host if re.search(r":\d+$", host) else f"{host}:{_DEFAULT_PORT}"
