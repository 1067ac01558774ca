"""The history of a job, event by event, as far as it has come or as it goes on."""

import difflib
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FINISHED, Event, Job
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.reader import asked
from vl_ingest.ledger.runs import is_alive

FOLLOW_EVERY_S = 1.0
AT_ONCE = 1000  # events that are read together, and told when it is sure that they are what was written


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

    def is_over() -> bool:
        return ledger.jobs.get(job.id).state in FINISHED and not is_alive(ledger.runs.last(job.id))

    def behind(number: int) -> list[Event]:
        return list(ledger.events.history(job.id, *kinds, after=number, limit=AT_ONCE))

    seen, over = 0, False
    while not over:
        # Before the last look; the end of its run is the last event of a job that is over.
        over = not follow or asked(is_over)
        while events := asked(partial(behind, seen)):
            yield from (event for event in events if earliest is None or event.at >= earliest)
            seen = events[-1].number
        if not over:
            threading.Event().wait(FOLLOW_EVERY_S)
