"""What a worker's HTTP server answers."""

from urllib.error import HTTPError
from urllib.request import urlopen


def get(address: str, path: str) -> tuple[int, bytes]:
    """Status and body of an answer, errors among them; `address`: host:port."""
    try:
        with urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()
