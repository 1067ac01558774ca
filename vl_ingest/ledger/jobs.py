"""Jobs: identity, and the steps of a job before and after its files."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    FINISHED,
    SETTLED,
    DatasetStatus,
    Event,
    FileState,
    Job,
    JobState,
    Run,
    StatusClass,
)
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.guard import TransitionRefused, move
from vl_ingest.ledger.identity import IDENTITY, assert_only, find_row
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.seal import totals
from vl_ingest.ledger.tables import events, files, jobs

_ID_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"  # no letters that read as another


class Jobs:
    """Every query on jobs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Finding

    def get(self, job_id: str) -> Job:
        """Return the job with this id."""
        with self._db.read() as connection:
            return _job(connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())

    def find(self, reference: str) -> Job:
        """Return the job whose id or, where it is unique, whose name is `reference`; else `UsageError`."""
        with self._db.read() as connection:
            rows = connection.execute(
                sa.select(jobs).where(sa.or_(jobs.c.id == reference, jobs.c.name == reference))
            ).all()
        by_id = [row for row in rows if row.id == reference]
        if len(by_id or rows) == 1:
            return _job((by_id or rows)[0])
        if rows:
            listed = ", ".join(row.id for row in rows)
            raise UsageError(f"{len(rows)} jobs are named {reference!r}: use an id ({listed}).")
        names = [name for job in self.all() for name in (job.name, job.id)]
        from difflib import get_close_matches

        near = get_close_matches(reference, names, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"There is no job {reference!r} in {self._db}.{meant} Run `vl-ingest jobs` to list them."
        )

    def all(self) -> list[Job]:
        """Return every job, oldest first."""
        with self._db.read() as connection:
            return [_job(row) for row in connection.execute(sa.select(jobs).order_by(jobs.c.created_at))]

    def only_unfinished(self) -> Job:
        """Return the one job that is not finished. Raises `UsageError` where there is none, or more than one."""
        unfinished = [job for job in self.all() if job.state not in FINISHED]
        if len(unfinished) != 1:
            listed = ", ".join(f"{job.id} ({job.name})" for job in unfinished) or "none"
            raise UsageError(f"Name the job to resume. Unfinished: {listed}.")
        return unfinished[0]

    # Beginning

    def get_or_create(
        self, source: str, name: str, base_url: str, settings: Mapping[str, Any], *, new: bool = False
    ) -> Job:
        """Return the job of (source, name, server), made now if there is none.

        `source` is a real path, `base_url` normalised. With `new` a finished job is followed by another
        one, and a job of the same name may have another source. Two processes that enter at once get
        the same job. Raises `UsageError` for another source under the same name and server.
        """
        with self._db.write() as connection:
            known = find_row(connection, source, name, base_url, new=new)
            if known is not None:
                return _job(known)
            import secrets

            job_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(6))
            connection.execute(
                jobs.insert().values(
                    id=job_id, source=source, name=name, base_url=base_url, state=JobState.CREATED,
                    settings=dict(settings), left_out={}, created_at=clock.now(),
                )
            )  # fmt: skip
            append(
                connection, job_id, None, EventKind.JOB_CREATED,
                source=source, name=name, base_url=base_url, settings=dict(settings),
            )  # fmt: skip
            return _job(connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())

    def find_by_identity(self, source: str, name: str, base_url: str, *, new: bool = False) -> Job | None:
        """Return the job that `enter` would; None where it would make one. Raises what `enter` raises."""
        with self._db.read() as connection:
            row = find_row(connection, source, name, base_url, new=new)
        return None if row is None else _job(row)

    def change_settings(self, run: Run, settings: Mapping[str, Any]) -> None:
        """Record the options this run works with; an event only where they differ from the last run's."""
        with self._db.write() as connection:
            known = connection.execute(sa.select(jobs.c.settings).where(jobs.c.id == run.job_id)).scalar_one()
            before = {
                **Settings().to_record(),
                **known,
            }  # what an older version did not write was as it is by default
            changed = {k: v for k, v in settings.items() if before.get(k) != v}
            if changed:
                connection.execute(
                    sa.update(jobs).where(jobs.c.id == run.job_id).values(settings=dict(settings))
                )
                append(connection, run.job_id, run.id, EventKind.SETTINGS_CHANGED, **changed)

    def told_at(self, job_id: str, setting: str) -> datetime | None:
        """Return when a job was told the value that this setting has now; None where nobody has told it."""
        query = (
            sa.select(events.c.at, events.c.kind, events.c.facts)
            .where(events.c.job_id == job_id)
            .where(events.c.kind.in_([EventKind.JOB_CREATED, EventKind.SETTINGS_CHANGED]))
            .order_by(events.c.number)
        )
        at = None
        with self._db.read() as connection:
            for row in connection.execute(query):
                told = row.facts.get("settings", {}) if row.kind == EventKind.JOB_CREATED else row.facts
                at = row.at if setting in told else at
        return at

    def relocate(self, job_id: str, **where: str) -> None:
        """Record that the job's `source` or `base_url` is another one now.

        Raises `UsageError` where another unfinished job has that place already.
        """
        with self._db.write() as connection:
            job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
            assert_only(connection, job, {key: where.get(key, getattr(job, key)) for key in IDENTITY})
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**where))
            append(connection, job_id, None, EventKind.JOB_MOVED, **where)

    # Steps

    def intend(self, run: Run, kind: EventKind, **facts: Any) -> None:
        """Record what is about to be requested, on the run's lease."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            append(connection, run.job_id, run.id, kind, **facts)

    def note(self, job_id: str, run: Run | None, kind: EventKind, **facts: Any) -> None:
        """Record something that changes no state."""
        with self._db.write() as connection:
            append(connection, job_id, None if run is None else run.id, kind, **facts)

    def step(
        self,
        job_id: str,
        run: Run | None,
        before: JobState,
        kind: EventKind,
        facts: Mapping[str, Any],
        **values: Any,
    ) -> None:
        """Move the job from `before` to the state that event `kind` with `facts` stands for, and record the event.

        A run must hold the job for it, but for one thing: that processing has begun is true whoever says it.
        """
        after = JobState(str(kind.job_state(facts)))
        with self._db.write() as connection:
            if run is not None and (before, after) != (JobState.TRIGGERING, JobState.PROCESSING):
                assert_lease(connection, job_id, run.id)
            if after in FINISHED:
                values["finished_at"] = clock.now()
            move(connection, jobs, jobs.c.id == job_id, before, after, **values)
            append(connection, job_id, None if run is None else run.id, kind, **facts)

    def reopen(self, run: Run, before: JobState) -> int:
        """Go back to before the transaction: everything sent or in doubt is to be sent again.

        Returns how many files that is.
        """
        again = 0
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            move(
                connection, jobs, jobs.c.id == run.job_id, before, JobState.DATASET_CREATED,
                transaction_id=None, too_large_bytes=None,
            )  # fmt: skip
            for state in (FileState.SENT, FileState.UNKNOWN):
                where = (files.c.job_id == run.job_id) & (files.c.state == state)
                rows = connection.execute(sa.select(sa.func.count()).where(where)).scalar_one()
                move(
                    connection, files, where, state, FileState.PENDING,
                    rows=rows, reason=None, decided_by=None, decided_why=None,
                )  # fmt: skip
                again += rows
            append(connection, run.job_id, run.id, EventKind.TRANSACTION_GIVEN_UP, files=again)
        return again

    def mark_scanned(self, run: Run, left_out: Mapping[str, int]) -> None:
        """Record that this run has seen the whole folder, and what it left out (reason -> count)."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == run.job_id)
                .values(scan_run_id=run.id, left_out=dict(left_out))
            )
            append(connection, run.job_id, run.id, EventKind.SCAN_FINISHED, left_out=dict(left_out))

    def finish_upload(self, run: Run) -> None:
        """Move the job to `uploaded`, if this run's scan is complete and nothing is unsent."""
        with self._db.read() as connection:
            facts = totals(connection, run.job_id)
        self._guarded(run, JobState.TRANSACTION_OPEN, EventKind.UPLOAD_FINISHED, facts)

    def intend_trigger(
        self, run: Run, status_before: str, transaction_id: str, tasks: Mapping[str, str] | None = None
    ) -> None:
        """Commit the intent to trigger, on the same conditions looked at once more.

        `tasks` are the server's from just before, id -> status; None where they can't be had.
        """
        facts: dict[str, Any] = {"status_before": status_before, "transaction_id": transaction_id}
        if tasks is not None:
            facts["tasks"] = dict(tasks)
        self._guarded(run, JobState.UPLOADED, EventKind.TRIGGER_INTENDED, facts, status_before=status_before)

    def intend_reprocess(self, run: Run, **facts: Any) -> Event:
        """Commit the intent to have a failed dataset processed again, with what was known just before; return it.

        Raises `UsageError` where another job has taken this one's place meanwhile.
        """
        kind = EventKind.REPROCESS_INTENDED
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            job = connection.execute(sa.select(jobs).where(jobs.c.id == run.job_id)).one()
            if job.state != JobState.ERRORED:
                raise TransitionRefused(f"Job {job.id} can't be processed again: it is {job.state}.")
            assert_only(connection, job, {key: getattr(job, key) for key in IDENTITY})
            append(connection, run.job_id, run.id, kind, **facts)
            query = sa.select(events).where(events.c.job_id == run.job_id, events.c.kind == kind)
            row = connection.execute(query.order_by(events.c.number.desc()).limit(1)).one()
            return Event(**row._mapping)

    def _guarded(
        self, run: Run, before: JobState, kind: EventKind, facts: Mapping[str, Any], **values: Any
    ) -> None:
        after = JobState(str(kind.job_state(facts)))
        unsent = sa.exists().where(files.c.job_id == run.job_id, files.c.state.not_in(sorted(SETTLED)))
        where = (
            (jobs.c.id == run.job_id) & (jobs.c.run_id == run.id) & (jobs.c.scan_run_id == run.id) & ~unsent
        )
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            try:
                move(connection, jobs, where, before, after, **values)
            except TransitionRefused as exc:
                raise TransitionRefused(
                    f"Job {run.job_id} can't become {after}: it is not {before}, its folder has not been "
                    "scanned to the end by this run, or a file is unsent."
                ) from exc
            append(connection, run.job_id, run.id, kind, **facts)

    def see_status(self, run: Run | None, job_id: str, status: DatasetStatus) -> bool:
        """Record the server's word; an event, and True, only where the word has changed."""
        with self._db.write() as connection:
            before = connection.execute(sa.select(jobs.c.status).where(jobs.c.id == job_id)).scalar()
            values: dict[str, Any] = {"status": status.word, "progress": status.progress}
            if status.status_class is StatusClass.FAILED:
                values["message"] = status.message
            elif status.status_class is StatusClass.DONE:
                values["message"] = None  # of a failure that is over
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**values))
            if before == status.word:
                return False
            append(
                connection, job_id, None if run is None else run.id, EventKind.STATUS_CHANGED,
                before=before, status=status.word, progress=status.progress, message=status.message,
                n_images=status.n_images, n_videos=status.n_videos,
            )  # fmt: skip
            return True

    def learn_too_large(self, run: Run, body_bytes: int) -> None:
        """Remember the smallest body that the server refused for its size."""
        with self._db.write() as connection:
            result = connection.execute(
                sa.update(jobs)
                .where(
                    jobs.c.id == run.job_id,
                    sa.or_(jobs.c.too_large_bytes.is_(None), jobs.c.too_large_bytes > body_bytes),
                )
                .values(too_large_bytes=body_bytes)
            )
            if result.rowcount:
                append(
                    connection, run.job_id, run.id, EventKind.SIZE_LIMIT_LEARNT, too_large_bytes=body_bytes
                )


def _job(row: sa.Row[Any]) -> Job:
    facts = {field: row._mapping[field] for field in Job.__dataclass_fields__}
    return Job(**{**facts, "state": JobState(row.state)})
