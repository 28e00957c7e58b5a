"""Which brokers did not answer, and why: a sentence out of what a Kafka client met."""

import re
from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaError

_MET: Final = re.compile(
    r"(?:\w+://)?(?P<address>[^/\s]+)/(?:bootstrap|-?\d+): (?:Connect to \S+ failed: )?"
    r"(?P<why>.*?)(?: \(after \d+ms in state .*\))?",
    re.DOTALL,
)
"""As librdkafka writes it: `ssl://host:9092/bootstrap: Connect to ... (after 3ms in state ...)`."""
_DEFAULT_PORT: Final = 9092


def no_answer(servers: str, met: Iterable[KafkaError]) -> str:
    """Each address with the first that was met there; `servers`: the property bootstrap.servers.

    An address that nothing was met at did not answer in time: it may drop what is sent to it.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    for error in met:
        # That all are down follows from the rest, and its numbers count what is no broker.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            continue
        match = _MET.fullmatch(error.str())
        if match:
            found.setdefault(match["address"], match["why"])
        else:
            others.append(error.str())
    asked = dict.fromkeys(map(_address, filter(None, map(str.strip, servers.split(",")))))
    clauses = [f"{each}: {found.get(each, 'no answer in time')}" for each in asked | found]
    return "; ".join([*clauses, *dict.fromkeys(others)])


def _address(server: str) -> str:
    """Host and port of an entry, which may begin with a protocol and leave the port out."""
    host = server.rpartition("://")[2]
    return host if re.search(r":\d+$", host) else f"{host}:{_DEFAULT_PORT}"
