"""How long to wait before something is tried again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: a random part of a bound that doubles from `first_s` up to `most_s`."""

    first_s: float
    most_s: float

    def wait_s(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures in a row."""
        doublings = min(max(1, failures), 64) - 1  # more make no number
        return random.uniform(0, min(self.most_s, self.first_s * 2**doublings))  # noqa: S311  # no secret


BACKOFF = Backoff(first_s=0.5, most_s=30.0)
BUSY_FACTOR = 10  # times as long, where a whole body is sent to learn that the server is at work


def backoff_s(failures: int, *, busy: int = 0) -> float:
    """Return how many seconds to wait after so many failures in a row; the last ones said that the server was `busy`."""
    return BUSY_FACTOR * BACKOFF.wait_s(busy) if busy else BACKOFF.wait_s(failures)
