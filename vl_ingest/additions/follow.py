"""Follow a round until the server is done with it, and reindex the dataset after the last one."""

from vl_ingest import clock
from vl_ingest.additions.evidence import PARTIAL, Change, Sight
from vl_ingest.additions.named import Searched, look_up
from vl_ingest.additions.sight import Looker
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    NotAvailable,
    NotDelivered,
    OutcomeUnknown,
    ProcessingFailed,
    Redirected,
    RequestError,
    Undecided,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Batch, DatasetStatus, Job, JobState, StatusClass
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.rounds import KnownBy
from vl_ingest.ledger import Ledger
from vl_ingest.observers.observer import Progress
from vl_ingest.processing.evidence import TASKS
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status
from vl_ingest.server.optional import Extras

FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.1, 30.0, 1.3
PLAIN = {
    "READ ONLY": "the dataset is being updated (READ ONLY)",
    PARTIAL: "the media are added, but not yet in the index (PARTIAL INDEX)",
    "INDEXING": "the dataset is being indexed (INDEXING)",
    "READY": "the dataset is ready (READY)",
}
REINDEX_TRIES = 3
MENTIONED = 5  # paths in one sentence
UNSEEN = 10  # settling windows that a receipt is believed for without any sign of what it is about


def plain(status: str) -> str:
    """Return what the server says, in people's words."""
    return PLAIN.get(status.upper(), f"the server says {status}")


def is_by_addition(ledger: Ledger, job: Job) -> bool:
    """Return whether what is processed is a round by addition."""
    rounds = ledger.rounds.all(job.id)
    return bool(rounds) and rounds[-1].ended_at is None


def follow(context: Context) -> None:
    """Take the job from `processing` an addition back to `ready`, through outages, however long it takes.

    Raises `ProcessingFailed` where the server says that it failed (files that are not in the dataset then are queued again;
    where the whole dataset failed, the round stays open), and `Undecided` where it has acknowledged the addition and shows nothing of it.
    """
    intent = context.ledger.events.last(context.job.id, EventKind.ADDITION_INTENDED)
    assert intent is not None  # noqa: S101  # a round has one
    before, reindexes, sent = (
        Sight.from_record(intent.facts),
        bool(intent.facts["reindex"]),
        intent.facts["files"],
    )
    watching = _Watching(context, before, JobState.PROCESSING)
    # What began by what the server shows, or by a person's word, need not be shown again.
    shown = inferred = context.ledger.rounds.all(context.job.id)[-1].known_by is not KnownBy.RECEIPT
    while True:
        change, status = watching.look()
        if status.status_class is StatusClass.FAILED and watching.stood_still:  # it may be left from before
            raise _broken(context, status)
        shown = shown or change.shows_round()
        if status.status_class is StatusClass.UNCLEAR and watching.stood_still:
            if change.one_own and not change.own_left and change.grown in (None, sent):  # the task tells
                context.ledger.rounds.finish(context.run, status.word)
                return
            if watching.still_s >= UNSEEN * watching.window_s:
                raise _unseen(context, change, f"the dataset is {status.word}, which is not documented")
        if change.after.idle and not change.working(settled=watching.stood_still):
            if change.failed:
                _fail(context, change, watching.looker)
            halfway = reindexes and change.after.word == PARTIAL
            # Tasks and counts may lag: what shows only after the next intent would be taken for the next addition's.
            whole = (
                change.grown in (None, sent)
                if change.one_own
                else change.grown == sent and not change.new_tasks
            )
            told = change.one_own or not change.has_tasks
            if whole and ((told and not halfway) or watching.stood_still):
                context.ledger.rounds.finish(context.run, status.word)
                return
            seen = shown and not (change.own_left and change.grown == 0)  # it may only be in a queue
            if watching.stood_still and (seen or watching.still_s >= UNSEEN * watching.window_s):
                if not inferred:
                    _check_names(context, change, watching.looker, shown=seen)
                context.ledger.rounds.finish(context.run, status.word)
                return
        watching.pause()


def _check_names(context: Context, change: Change, looker: Looker, *, shown: bool) -> None:
    """Look in the server's list for a round whose signs may be somebody else's, or that has none.

    Raises `Undecided` where neither shows it.
    """
    batch = context.ledger.rounds.batch(context.job.id)
    names = look_up(looker.asking, context.dataset_id, batch, change.after)
    believed = shown and not change.mixed
    if names is not None and names.wanted:
        fresh = shown or change.grown is None or change.grown >= names.wanted  # or they were there before
        enough = names.found == names.wanted or (names.found and not change.mixed)
        if (enough and fresh) or (believed and not names.found and not names.complete):
            if names.found < names.wanted and names.found:
                _tell_missing(context, batch, names)
            return
    elif believed:
        return
    what = "no new media, no task, no other status"
    if change.mixed:
        what = "one addition failed and another did not"
    if names is not None and names.wanted:
        what = f"its list has {names.found:,} of the {names.wanted:,} names"
    raise _unseen(context, change, what)


def _tell_missing(context: Context, batch: Batch, names: Searched) -> None:
    """Say which files of a round that is done the server's list does not have; `--confirm` makes more of it."""
    paths = [words.path(file.path) for file in batch.files if file.sent_as in names.missing]
    some = ", ".join(paths[:MENTIONED]) + (
        f" and {len(paths) - MENTIONED:,} more" if paths[MENTIONED:] else ""
    )
    context.observer.notice(
        "warning",
        f"The server has acknowledged the addition of {files_text(len(batch.files))}, and its list of the dataset has "
        f"{names.found:,} of the {names.wanted:,} names. Not there: {some}. `vl-ingest verify {context.job.id}` asks again.",
    )


def _unseen(context: Context, change: Change, what: str) -> Undecided:
    """Put on record that the server does not show a round, and return the error that leaves it to a person."""
    last, job_id = context.ledger.rounds.all(context.job.id)[-1], context.job.id
    context.note(EventKind.ROUND_UNSEEN, round=last.number, status=change.after.status, detail=what)
    return Undecided(
        f"The server has acknowledged the addition of {files_text(last.files)} (round {last.number}) and does not show that they "
        f"are in the dataset ({what}). Run the same command again to look again; or look at the dataset, then run "
        f"`vl-ingest settle {job_id} --began` if they are there, or `--not-begun` to have them sent again."
    )


def _broken(context: Context, status: DatasetStatus) -> ProcessingFailed:
    """Put on record that the dataset failed while a round was processed, which stays open, and return the error."""
    what = f"the dataset is {status.word}: {words.clause(status.message or 'it does not say why')}"
    last, job_id = context.ledger.rounds.all(context.job.id)[-1], context.job.id
    context.note(EventKind.ROUND_UNSEEN, round=last.number, status=status.word, detail=what)
    return _failed(
        what,
        f"Nobody knows whether the {files_text(last.files)} of round {last.number} are in it. Run the same command again when "
        f"the dataset works again, to look; or look at it yourself, then run `vl-ingest settle {job_id} --began` if they are "
        "there, or `--not-begun` to have them sent again.",
    )


class _Watching:
    """Looks again and again, at growing intervals; nothing has changed for `still_s`."""

    def __init__(self, context: Context, before: Sight, state: JobState) -> None:
        self.looker = Looker(context)
        self._context = context
        self._before = before
        self._state = state
        self._last: Sight | None = None
        self.still_s = 0.0
        self._interval_s = FIRST_POLL_S
        self._status: DatasetStatus | None = None

    @property
    def window_s(self) -> float:
        """How long what is shown has to stand still."""
        return self._context.settings.settle_s

    @property
    def stood_still(self) -> bool:
        """Whether nothing has changed for the settling window."""
        return self.still_s >= self.window_s

    def look(self) -> tuple[Change, DatasetStatus]:
        """Return what has changed."""
        sight, status = self.looker.look()
        if self._last is None or sight.word != self._last.word:
            self._interval_s = FIRST_POLL_S
            text = plain(status.word)
            self._context.observer.notice("step", f"{text[0].upper()}{text[1:]}.")
        if sight != self._last:
            self._last, self.still_s = sight, 0.0
        self._status = status
        return Change(self._before, sight), status

    def pause(self) -> None:
        """Show where it stands, and wait."""
        context, status = self._context, self._status
        if status is not None:
            counts = context.ledger.files.counts(context.job.id)
            context.show(Progress(self._state, counts, status=status.word, status_progress=status.progress))
        started = clock.monotonic()
        context.pause(self._interval_s)
        self.still_s += min(clock.monotonic() - started, self._interval_s)
        self._interval_s = min(LONGEST_POLL_S, self._interval_s * GROWTH)


def _fail(context: Context, change: Change, looker: Looker) -> None:
    """Record that the server failed with a round, and raise it."""
    message = _reason(context, looker, change) or "it does not say why"
    if not change.nothing_added:
        raise _unseen(context, change, f"it failed, and perhaps not with all of it: {words.clause(message)}")
    last = context.ledger.rounds.all(context.job.id)[-1]
    context.ledger.rounds.fail(context.run, change.after.status, message)
    again = f"Nothing of it is in the dataset; {files_text(last.files)} queued again. Run the same command again to add them."
    raise _failed(f"round {last.number}: {words.clause(message)}", again)


def _reason(context: Context, looker: Looker, change: Change) -> str | None:
    page = looker.asking.read(TASKS, lambda: looker.asking.extras.tasks(context.dataset_id))
    for task in page.tasks if page is not None else ():
        if task.id in change.new_tasks and (task.error or task.message):
            return task.error or task.message
    return None


def _failed(what: str, again: str) -> ProcessingFailed:
    return ProcessingFailed(f"The server could not process an addition: {words.clause(what)}. {again}")


def reindex(context: Context) -> None:
    """Have the dataset reindexed if it wants that, and follow it until it is ready.

    Raises `ProcessingFailed` where it can't be: what was added is in the dataset all the same, and the next run tries again.
    """
    for attempt in range(1, REINDEX_TRIES + 1):
        status = read_status(context)
        if status.word.upper() != PARTIAL:
            return
        begun = _request_reindex(context, status)
        if begun:
            _follow_reindex(context, status)
        else:
            context.pause(backoff_s(attempt))
    if (status := read_status(context)).word.upper() == PARTIAL:
        raise ProcessingFailed(
            f"The server did not reindex the dataset: it is still {status.word}. Everything was added. Run the same command "
            "again to have it reindexed, or use `--reindex never`."
        )


def _request_reindex(context: Context, status: DatasetStatus) -> bool:
    """Ask for a reindex once; return whether it may have begun. Raises `ProcessingFailed` where it is refused for good."""
    context.check_may_continue()
    context.ledger.jobs.intend(context.run, EventKind.REINDEX_INTENDED, status=status.word)
    try:
        with context.cancel_token.on_its_way():
            http_status = Extras.beside(context.api).reindex(context.dataset_id)
    except NotAvailable as error:
        context.note(EventKind.REINDEX_NOT_BEGUN, detail=str(error))
        raise ProcessingFailed(
            f"The server can't reindex the dataset ({error}). Everything was added; use `--reindex never` to leave it at {PARTIAL}."
        ) from error
    except CredentialsRefused as error:
        context.note(EventKind.REINDEX_NOT_BEGUN, detail=str(error))
        context.api.tokens.renew(error)
        return False
    except Redirected as error:  # there is nothing to be had by asking the same address again
        context.note(EventKind.REINDEX_NOT_BEGUN, detail=str(error))
        raise ProcessingFailed(
            f"The server did not reindex the dataset: {words.clause(error)}. Everything was added."
        ) from error
    except (Conflict, OutcomeUnknown) as error:
        context.note(EventKind.REINDEX_UNKNOWN, detail=str(error))
        return True
    except (NotDelivered, Answered, RequestError) as error:
        context.note(EventKind.REINDEX_NOT_BEGUN, detail=str(error))
        return False
    context.note(EventKind.REINDEX_ACKNOWLEDGED, http_status=http_status)
    return True


def _follow_reindex(context: Context, status: DatasetStatus) -> None:
    """Watch until the dataset is ready, or stays as it is: then it was not reindexed."""
    watching = _Watching(context, Sight.of(status, None), JobState.READY)
    while True:
        change, now = watching.look()
        if now.status_class in (StatusClass.DONE, StatusClass.FAILED):
            break
        if change.after.word == PARTIAL and watching.stood_still and not change.working(settled=True):
            break
        watching.pause()
    context.note(EventKind.REINDEX_FINISHED, status=now.word)
