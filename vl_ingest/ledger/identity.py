"""What a job is by source, name and server: no two unfinished jobs share these."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FINISHED, JobState
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger.tables import events, jobs

IDENTITY = ("source", "name", "base_url")


def assert_only(connection: sa.Connection, job: sa.Row[Any], place: Mapping[str, str]) -> None:
    """Raise `UsageError` where another unfinished job has this source, name and server."""
    other = connection.execute(
        sa.select(jobs.c.id)
        .filter_by(**place)
        .where(jobs.c.id != job.id, jobs.c.state.not_in(sorted(FINISHED)))
    ).scalar()
    if other is not None:
        raise UsageError(
            f"Job {other} already sends {path_to_text(place['source'])} to a dataset named {job.name!r} "
            f"there. Continue it with `vl-ingest resume {other}`, or give it up with `vl-ingest cancel {other}`."
        )


def find_row(
    connection: sa.Connection, source: str, name: str, base_url: str, *, new: bool
) -> sa.Row[Any] | None:
    """Return the job of (source, name, server) that goes on; see `Jobs.get_or_create`."""
    identity = (jobs.c.name == name) & (jobs.c.base_url == base_url)
    rows = connection.execute(sa.select(jobs).where(identity).order_by(jobs.c.created_at, jobs.c.id)).all()
    same = [row for row in rows if row.source == source]
    unfinished = [row for row in same if row.state not in FINISHED]
    if unfinished:
        return unfinished[-1]
    if same and not new:
        return same[-1]
    other = [row for row in rows if row.source != source and _has_dataset(connection, row)]
    if other and not new:
        raise UsageError(
            f"Job {other[-1].id} already sends {other[-1].source} to a dataset named {name!r} there. "
            f"If the folder has moved: `vl-ingest resume {other[-1].id} --source {source}`. "
            "For another dataset of that name add `--new`."
        )
    return None


def _has_dataset(connection: sa.Connection, row: sa.Row[Any]) -> bool:
    """Return whether a job has a dataset on the server, or may have one, and is not given up."""
    if (state := JobState(row.state)) is not JobState.CREATED:
        return state is not JobState.CANCELLED
    asked, failed = (
        connection.execute(
            sa.select(sa.func.count()).where(events.c.job_id == row.id, events.c.kind == kind)
        ).scalar_one()
        for kind in (EventKind.CREATE_INTENDED, EventKind.CREATE_FAILED)
    )
    return int(asked) > int(failed)
