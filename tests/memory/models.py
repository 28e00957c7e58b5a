"""Models that settings of tests name by `factory`."""

from typing import Any

from river import linear_model


class BreaksAt13(linear_model.LinearRegression):
    """Raises when it is to learn the number 13."""

    def learn_one(self, x: dict[str, Any], y: float, w: float = 1.0) -> None:
        if y == 13:
            raise ArithmeticError("13")
        super().learn_one(x, y, w)


def breaks_at_13() -> BreaksAt13:
    return BreaksAt13()
