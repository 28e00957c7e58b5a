"""Makes up payments, some of them odd, as JSON lines."""

import json
from random import Random


def main() -> None:
    """Print two thousand of them, the same ones each time."""
    random = Random(7)  # noqa: S311 - nothing here is secret
    for number in range(2_000):
        odd = number > 200 and random.random() < 0.01
        payment = {
            "id": number,
            "amount": round(random.uniform(900, 1_000) if odd else random.gauss(50, 15), 2),
            "hour": random.randint(1, 4) if odd else random.randint(8, 20),
            "distance": round(random.uniform(80, 100) if odd else random.expovariate(0.2), 1),
            "odd": odd,
        }
        print(json.dumps(payment))


if __name__ == "__main__":
    main()
