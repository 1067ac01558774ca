"""The folders' names are not lost: each file's path, or its folder, as custom metadata of its medium.

By the ids that the server's own list of the dataset gives. A field can be made once, and a value can't be changed: the
making of a field and each part of its values are intended, sent once, and settled by the field's task, or left to a
person. The server need not offer any of it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    RequestError,
    Undecided,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event, FileRow, FileState, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.remote import LONGEST_VALUE, FieldStatus
from vl_ingest.proof.dataset import list_dataset, why_not
from vl_ingest.proof.whole import is_ready
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.retry import retry_through_outages

TOGETHER = 5000  # values in one request
TRIES = 5
FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.2, 10.0, 1.5
OVER = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "ABORTED"})
FIELDS = "custom metadata"

Value = Callable[[FileRow], str]


def path_of(file: FileRow) -> str:
    """Return a file's path in the folder."""
    return path_to_text(file.path)


def folder_of(file: FileRow) -> str:
    """Return the folder that a file is in, relative to the job's; `.` for that itself."""
    return path_to_text(file.path).rpartition("/")[0] or "."


def attach(context: Context) -> None:
    """Give the media of the files that have none yet their values in the wanted fields.

    What the server does not offer is a warning. Raises `Undecided` where an outcome can't be known.
    """
    settings, job = context.settings, context.reload()
    wanted = {settings.path_field: path_of, settings.folder_field: folder_of}
    fields = {name: value for name, value in wanted.items() if name is not None}
    if not fields or job.state is not JobState.READY or not is_ready(job.status):
        return
    if not _has_ids(context):
        return
    for name, value in fields.items():
        _Field(context, name, value).fill()


def _has_ids(context: Context) -> bool:
    """See that the server's list has been read since the last round; return whether it could be."""
    job = context.reload()
    listed, rounds = context.ledger.listing.last(job.id), context.ledger.rounds.all(job.id)
    ended_at = rounds[-1].ended_at if rounds else job.finished_at
    if listed is not None and ended_at is not None and listed[1] > ended_at:
        return True
    asking = replace(context.asking, job=job)
    try:
        with context.waiting("Asking the server for the ids of the media."):
            found = list_dataset(asking, lambda _path, _why: None)
    except Conflict as exc:
        return _told(context, f"the server can't list the dataset now ({words.clause(exc)})")
    if found is None:
        return _told(context, f"the server does not list the ids of the media ({why_not(asking)})")
    return True


def _told(context: Context, why: str) -> bool:
    context.observer.notice("warning", f"Paths are not kept as custom metadata: {why}.")
    return False


class _Field:
    """One field of the dataset, and the values that it lacks."""

    def __init__(self, context: Context, name: str, value: Value) -> None:
        self._context = context
        self._name = name
        self._value = value
        self._dataset_id = context.dataset_id
        self._extras = context.asking.extras

    def fill(self) -> None:
        """Send what is missing, part by part."""
        context, files, done, long = self._context, self._context.ledger.files, 0, 0
        self._settle_values()
        while rows := files.without_field(context.job.id, self._name, TOGETHER):
            task = self._task()
            if task is None:
                return
            fits = [row for row in rows if len(self._value(row)) <= LONGEST_VALUE]
            if not self._send(task, rows, fits):
                return
            done, long = done + len(fits), long + len(rows) - len(fits)
        if done or long:
            left = f"; {files_text(long)} left out: more than {LONGEST_VALUE} characters" if long else ""
            context.observer.notice(
                "step", f"{files_text(done)} have their value in the field {self._name}{left}."
            )
            if unlisted := context.ledger.files.counts(context.job.id)[FileState.SENT] - self._listed():
                context.observer.notice(
                    "step",
                    f"{files_text(unlisted)} without an id of their own (videos, or not listed) have none.",
                )

    def _listed(self) -> int:
        rows = self._context.ledger.files.rows(self._context.job.id, FileState.SENT)
        return sum(row.media_id is not None for row in rows)

    def _task(self) -> str | None:
        """Return the task of the field, which is made once; None where it can't be made."""
        context = self._context
        for event in context.ledger.events.history(context.job.id, EventKind.FIELD_CREATED):
            if event.facts["field"] == self._name:
                return str(event.facts["task"])
        last = self._last(EventKind.FIELD_INTENDED, EventKind.FIELD_UNKNOWN, EventKind.FIELD_FAILED)
        if last is not None and last.kind != EventKind.FIELD_FAILED:
            raise self._undecided("whether the server made it is unknown")
        for attempt in range(1, TRIES + 1):
            context.ledger.jobs.intend(context.run, EventKind.FIELD_INTENDED, field=self._name)
            try:
                task = self._extras.create_field(self._dataset_id, self._name)
            except (OutcomeUnknown, Redirected) as exc:
                context.note(EventKind.FIELD_UNKNOWN, field=self._name, detail=str(exc))
                raise self._undecided(f"whether the server made it is unknown ({words.clause(exc)})") from exc
            except (NotDelivered, CredentialsRefused) as exc:
                context.note(EventKind.FIELD_FAILED, field=self._name, detail=str(exc))
                self._again(exc, attempt)
            except (Answered, Refused) as exc:
                context.note(EventKind.FIELD_FAILED, field=self._name, detail=str(exc))
                _told(context, f"the server does not make the field {self._name} ({words.clause(exc)})")
                return None
            else:
                context.note(EventKind.FIELD_CREATED, field=self._name, task=task)
                return task
        _told(context, f"the field {self._name} could not be made")
        return None

    def _send(self, task: str, rows: list[FileRow], fits: list[FileRow]) -> bool:
        """Send one part; return whether it has arrived."""
        context, ids = self._context, [row.id for row in rows]
        values = {row.media_id: self._value(row) for row in fits if row.media_id is not None}
        for attempt in range(1, TRIES + 1):
            before = self._wait(task)
            told = {"first": ids[0], "last": ids[-1], "inserted": before.inserted, "errors": before.errors}
            context.ledger.jobs.intend(
                context.run, EventKind.VALUES_INTENDED, field=self._name, task=task, files=len(values), **told
            )
            try:
                self._extras.set_values(self._dataset_id, task, values)
            except (OutcomeUnknown, Redirected) as exc:
                context.note(EventKind.VALUES_UNKNOWN, field=self._name, detail=str(exc))
                if self._settle_values():
                    return True
                if isinstance(exc, Redirected):  # the next one would be, too
                    return _told(
                        context,
                        f"the server takes no values for the field {self._name} ({words.clause(exc)})",
                    )
            except (NotDelivered, CredentialsRefused, Conflict) as exc:
                context.note(EventKind.VALUES_NOT_SENT, field=self._name, detail=str(exc))
                self._again(exc, attempt)
            except (Answered, Refused) as exc:
                context.note(EventKind.VALUES_NOT_SENT, field=self._name, detail=str(exc))
                return _told(
                    context, f"the server takes no values for the field {self._name} ({words.clause(exc)})"
                )
            else:
                context.ledger.files.set_field(context.run, self._name, ids, EventKind.VALUES_SENT)
                self._tell_errors(before, self._wait(task), rows)
                return True
        return _told(context, f"the values for the field {self._name} could not be sent")

    def _settle_values(self) -> bool:
        """Settle by the field's task what became of values whose answer was lost; return whether they have arrived."""
        context = self._context
        last = self._last(
            EventKind.VALUES_INTENDED,
            EventKind.VALUES_UNKNOWN,
            EventKind.VALUES_SENT,
            EventKind.VALUES_NOT_SENT,
        )
        intent = self._last(EventKind.VALUES_INTENDED)
        if last is None or intent is None or last.kind in (EventKind.VALUES_SENT, EventKind.VALUES_NOT_SENT):
            return False
        facts, task = intent.facts, str(intent.facts["task"])
        context.pause(max(context.settings.settle_s, FIRST_POLL_S))
        now, before = self._wait(task), facts["inserted"]
        grown = None if now.inserted is None or before is None else now.inserted - before
        errors = (now.errors or 0) - (facts["errors"] or 0)
        if grown == 0 and not errors:
            context.note(
                EventKind.VALUES_NOT_SENT, field=self._name, detail="the task has no more rows than before"
            )
            return False
        if grown is not None and grown + errors >= facts["files"]:
            rows = context.ledger.files.without_field(context.job.id, self._name, TOGETHER)
            rows = [row for row in rows if facts["first"] <= row.id <= facts["last"]]
            context.ledger.files.set_field(
                context.run, self._name, [row.id for row in rows], EventKind.VALUES_SENT
            )
            self._tell_errors(FieldStatus("", inserted=before, errors=facts["errors"]), now, rows)
            return True
        raise self._undecided(
            f"the task {task} does not tell whether the values of {files_text(facts['files'])} have arrived"
        )

    def _wait(self, task: str) -> FieldStatus:
        """Wait until the field's task has nothing to do; return how far it is."""
        interval_s = FIRST_POLL_S
        read = partial(self._extras.field_status, self._dataset_id, task)
        began_at, last = clock.monotonic(), None
        while True:
            status = retry_through_outages(self._context, f"read the status of the field {self._name}", read)
            idle = status.status.upper() in OVER or status.status.upper() == "INIT"
            still = status == last and clock.monotonic() - began_at > self._context.settings.settle_s
            if idle or still:
                return status
            last = status
            self._context.pause(interval_s)
            interval_s = min(LONGEST_POLL_S, interval_s * GROWTH)

    def _tell_errors(self, before: FieldStatus, now: FieldStatus, rows: list[FileRow]) -> None:
        """Name the files whose values the server refused, as far as it does."""
        errors = (now.errors or 0) - (before.errors or 0)
        if errors <= 0:
            return
        samples = [sample for sample in now.samples if sample not in before.samples]
        named = [row for row in rows if any(row.media_id and row.media_id in sample for sample in samples)]
        for row in named:
            self._context.observer.file_error(row.path, FileState.SENT, f"no value in the field {self._name}")
        self._context.note(
            EventKind.VALUES_REFUSED,
            field=self._name,
            errors=errors,
            samples=[path_to_text(row.path) for row in named],
        )
        self._context.observer.notice(
            "warning",
            f"The server refused {errors:,} values of the field {self._name}: {', '.join(samples[:3])}.",
        )

    def _again(self, error: RequestError, attempt: int) -> None:
        if isinstance(error, CredentialsRefused):
            self._context.api.tokens.renew(error)
        else:
            self._context.pause(backoff_s(attempt))

    def _last(self, *kinds: EventKind) -> Event | None:
        history = self._context.ledger.events.history(self._context.job.id, *kinds)
        return next((event for event in reversed(list(history)) if event.facts["field"] == self._name), None)

    def _undecided(self, why: str) -> Undecided:
        return Undecided(
            f"The field {self._name}: {why}. Everything else is done. Look at the dataset; then run the same command with another "
            "field's name, or without one."
        )
