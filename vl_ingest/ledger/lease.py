"""The lease: how a run keeps its right to work on a job."""

from vl_ingest import clock
from vl_ingest.domain.model import Run
from vl_ingest.ledger import Ledger

HEARTBEAT_EVERY_S = 20.0


class Lease:
    """A run's right to work on its job, which others see expire unless it is renewed."""

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self._run = run
        self._next = clock.monotonic() + HEARTBEAT_EVERY_S

    def keep(self) -> None:
        """Renew it, if it is time. Raises `JobHeld` if it is lost."""
        if clock.monotonic() >= self._next:
            self._ledger.runs.beat(self._run)
            self._next = clock.monotonic() + HEARTBEAT_EVERY_S
