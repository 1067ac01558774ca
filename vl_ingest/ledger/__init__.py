"""The durable record of jobs: every query and every guarded transition.

`Ledger` is the way in; its parts share one database:

- `jobs`     jobs, the steps before and after the files
- `runs`     runs and their leases
- `files`    what the scan found and what became of it
- `decisions` what is decided on files, by whom
- `listing`  what the server lists in the dataset
- `batches`  intents and receipts of what is sent together
- `additions` their intents and receipts, and what settled them
- `rounds`   additions that began, and their ends
- `events`   the append-only history
- `audit`    what a report reads
- `browse`   what a page shows: a screenful at a time
- `seals`    rows as receipts seal them
- `retention` whole jobs, copied or taken out
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vl_ingest.ledger import sqlite
from vl_ingest.ledger.database import Database, OlderSchema, to_url
from vl_ingest.ledger.decisions import Decisions
from vl_ingest.ledger.events import Events, record_upgrade
from vl_ingest.ledger.files import Files
from vl_ingest.ledger.guard import TransitionRefused
from vl_ingest.ledger.jobs import Jobs
from vl_ingest.ledger.listing import Listing
from vl_ingest.ledger.runs import Runs
from vl_ingest.ledger.seal import Seals

if TYPE_CHECKING:
    from vl_ingest.ledger.additions import Additions
    from vl_ingest.ledger.audit import Audit
    from vl_ingest.ledger.batches import Batches
    from vl_ingest.ledger.browse import Browse
    from vl_ingest.ledger.retention import Retention
    from vl_ingest.ledger.rounds import Rounds
    from vl_ingest.ledger.versions import Versions

__all__ = ["Ledger", "TransitionRefused", "is_missing", "reading"]


class Ledger:
    """A ledger at a path or an SQLAlchemy URL, upgraded to the newest schema on opening.

    With `readonly` it is neither made nor upgraded, and nothing on disk changes.

    Raises `LedgerError` wherever it can't be read or written.
    """

    def __init__(self, place: str | os.PathLike[str], *, create: bool = True, readonly: bool = False) -> None:
        self.db = Database(place, create=create, readonly=readonly, upgraded=record_upgrade)
        self.jobs = Jobs(self.db)
        self.runs = Runs(self.db)
        self.files = Files(self.db)
        self.decisions = Decisions(self.db)
        self.listing = Listing(self.db)
        self.events = Events(self.db)
        self.seals = Seals(self.db)

    # What looking at a job does not need is not loaded for it.

    @cached_property
    def batches(self) -> "Batches":
        """Intents and receipts."""
        from vl_ingest.ledger.batches import Batches

        return Batches(self.db)

    @cached_property
    def additions(self) -> "Additions":
        """Intents and receipts of additions."""
        from vl_ingest.ledger.additions import Additions

        return Additions(self.db)

    @cached_property
    def versions(self) -> "Versions":
        """Files that are sent anew."""
        from vl_ingest.ledger.versions import Versions

        return Versions(self.db)

    @cached_property
    def rounds(self) -> "Rounds":
        """Additions that began."""
        from vl_ingest.ledger.rounds import Rounds

        return Rounds(self.db)

    @cached_property
    def audit(self) -> "Audit":
        """What a report reads."""
        from vl_ingest.ledger.audit import Audit

        return Audit(self.db)

    @cached_property
    def browse(self) -> "Browse":
        """What a page shows."""
        from vl_ingest.ledger.browse import Browse

        return Browse(self.db)

    @cached_property
    def retention(self) -> "Retention":
        """Whole jobs."""
        from vl_ingest.ledger.retention import Retention

        return Retention(self.db)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.db.close()


def is_missing(place: str | os.PathLike[str]) -> bool:
    """Return whether there is no ledger at `place`, neither a path nor in a URL."""
    return not os.path.exists(to_url(place).database or "")


@contextmanager
def reading(place: str | os.PathLike[str], *, live: bool = False) -> Iterator[Ledger]:
    """Give a ledger to look at, and change nothing on disk; one of an older schema is read from an upgraded copy.

    Raises `OlderSchema` where it is to be followed `live`, which a copy can't be.
    """
    with ExitStack() as stack:
        try:
            ledger = Ledger(place, readonly=True)
        except OlderSchema:
            path = sqlite.path_of(to_url(place))
            if live or path is None:
                raise
            import tempfile

            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vl-ingest-")), "ledger.db")
            sqlite.copy(path, copy)
            Database(copy).close()  # upgrades it; the jobs' histories don't tell of that
            ledger = Ledger(copy, readonly=True)
        yield stack.enter_context(ledger)
