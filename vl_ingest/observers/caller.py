"""The program that uses the library, as an observer."""

from collections.abc import Callable

from vl_ingest.domain.model import Job, Run
from vl_ingest.observers.observer import Observer, Progress


class Caller(Observer):
    """Knows the run that is going on, and tells the caller's function of its progress."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self.run: Run | None = None
        self._on_progress = on_progress

    def job_started(self, job: Job, run: Run) -> None:  # noqa: ARG002  # an observer's
        """Keep the run."""
        self.run = run

    def progress(self, progress: Progress) -> None:
        """Tell of it."""
        if self._on_progress is not None:
            self._on_progress(progress)
