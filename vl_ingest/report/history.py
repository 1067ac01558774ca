"""The history of a job, event by event, as far as it has come or as it goes on."""

import difflib
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FINISHED, Event, Job
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import WrittenMeanwhile
from vl_ingest.ledger.runs import is_alive

FOLLOW_EVERY_S = 1.0


def check_kinds(ledger: Ledger, job: Job, kinds: Sequence[str]) -> None:
    """Raise `UsageError` for what is no kind of event, unless one that only a newer version knows is in the ledger."""
    for kind in kinds:
        if EventKind.known(kind) is None and not ledger.events.count(job.id, kind):
            near = " or ".join(difflib.get_close_matches(kind, list(EventKind)))
            meant = f"Did you mean {near}?" if near else "Without `--kind`, every event is shown."
            raise UsageError(f"There is no kind of event {kind!r}. {meant}")


def history(
    ledger: Ledger, job: Job, kinds: Sequence[str], earliest: datetime | None, *, follow: bool
) -> Iterator[Event]:
    """Yield the events of a job from a moment on, oldest first; with `follow` until the job is over."""
    seen, over = 0, False
    while not over:
        try:
            # Before the last look; the end of its run is the last event of a job that is over.
            over = not follow or (
                ledger.jobs.get(job.id).state in FINISHED and not is_alive(ledger.runs.last(job.id))
            )
            for event in ledger.events.history(job.id, *kinds, after=seen):
                seen = event.number
                if earliest is None or event.at >= earliest:
                    yield event
        except WrittenMeanwhile:  # a run has just begun: the rest comes with what it writes
            over = False
        if not over:
            threading.Event().wait(FOLLOW_EVERY_S)
