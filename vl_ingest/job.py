"""A job from the folder to the report: `run` begins or continues it, `resume` continues a known one."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager

from vl_ingest import clock
from vl_ingest.additions import steps as additions
from vl_ingest.additions.fields import attach
from vl_ingest.additions.follow import follow, is_by_addition
from vl_ingest.additions.settle import settle as settle_addition
from vl_ingest.domain.errors import LedgerError, UsageError, VlIngestError
from vl_ingest.domain.events import STARTED_AGAIN
from vl_ingest.domain.forms import parse_name
from vl_ingest.domain.model import FINISHED, TRIGGERED, FileState, Job, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.rounds import has_grown_since
from vl_ingest.domain.settings import Settings
from vl_ingest.domain.standing import next_step
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import host
from vl_ingest.ledger.lock import hold
from vl_ingest.ledger.runs import Lease
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.observers.observer import Observer
from vl_ingest.processing.reprocess import start_again
from vl_ingest.processing.settle import adopted, settle
from vl_ingest.processing.trigger import trigger
from vl_ingest.processing.watch import failed, watch
from vl_ingest.proof.dataset import confirm
from vl_ingest.proof.folder import can_be_walked, count_new
from vl_ingest.run.cancel import CancelToken
from vl_ingest.run.context import Context
from vl_ingest.run.listening import listening
from vl_ingest.run.status import read_status
from vl_ingest.server.api import Api
from vl_ingest.source import Source
from vl_ingest.source.addresses import existing_source, source_at
from vl_ingest.source.listing import is_read_once
from vl_ingest.upload.choice import Choice, count_beyond, scanner_of
from vl_ingest.upload.steps import nothing_to_send, upload
from vl_ingest.version import __version__


def run(
    ledger: Ledger,
    api: Api,
    source: Source,
    name: str,
    settings: Settings,
    *,
    new: bool = False,
    new_transaction: bool = False,
    observer: Observer | None = None,
    cancel_token: CancelToken | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Take `source` to a processed dataset `name`, from wherever its job stands.

    `new` starts another job after a finished one; `new_transaction` gives up the open transaction of an
    unfinished one and sends everything again.

    The same call again continues, or says that it is done. Raises a `VlIngestError` that says what stopped
    it; the ledger then holds everything that was done.
    """
    name = parse_name(name)
    known = ledger.jobs.find_by_identity(source.address, name, api.base_url, new=new)
    if known is not None and new and observer is not None:
        observer.notice(
            "warning",
            f"--new is ignored: job {known.id} is not finished. `vl-ingest cancel {known.id}` gives it up.",
        )
    if known is None:
        _check_may_begin(api, source, settings, cancel_token or CancelToken())
    job = ledger.jobs.get_or_create(source.address, name, api.base_url, settings.to_record(), new=new)
    return work(
        ledger,
        api,
        job,
        source,
        settings,
        new_transaction=new_transaction,
        observer=observer,
        cancel_token=cancel_token,
        executor=executor,
    )


def resume(
    ledger: Ledger,
    api: Api,
    job: Job,
    settings: Settings,
    *,
    source: Source | None = None,
    observer: Observer | None = None,
    cancel_token: CancelToken | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Continue a known job; `source` is what it sends, as it is now if that has moved.

    The server's address may have changed too: `api` says where it is.
    """
    where = {"source": source.address} if source is not None else {}
    if source is None:
        source = source_at(job.source) if job.state in TRIGGERED else existing_source(job.source)
    if api.base_url != job.base_url:
        where["base_url"] = api.base_url
    if where:
        with hold(ledger, job.id):
            ledger.jobs.relocate(job.id, **where)
        job = ledger.jobs.get(job.id)
        if observer is not None:
            observer.notice("step", f"Job {job.id} is now {path_to_text(job.source)} at {job.base_url}.")
    return work(
        ledger, api, job, source, settings, observer=observer, cancel_token=cancel_token, executor=executor
    )


def work(
    ledger: Ledger,
    api: Api,
    job: Job,
    source: Source,
    settings: Settings,
    *,
    new_transaction: bool = False,
    observer: Observer | None = None,
    cancel_token: CancelToken | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Hold the job and take it as far as it goes; see `run`."""
    observer = observer or Observer()
    if _is_over(ledger, job, settings):
        return _finished(ledger, job, source, settings, observer)
    with hold(ledger, job.id) as current:
        if _is_over(ledger, current, settings):
            return _finished(ledger, current, source, settings, observer)  # a run ended while this one began
        with _running(
            ledger, api, current, source, settings, observer, cancel_token or CancelToken(), executor
        ) as context:
            scanned = False
            if current.state not in FINISHED or _adds(current, settings):
                if new_transaction:
                    _reopen(context)
                scanned = _advance(context)
            _confirm(context)
            attach(context)
            # Files that came while this very run watched are the next run's to report.
            late = None if scanned else _not_in_dataset(ledger, current, source, settings, observer)
    return summarise(ledger, job.id, not_in_dataset=late)


def reprocess(
    ledger: Ledger,
    api: Api,
    job: Job,
    settings: Settings,
    *,
    observer: Observer | None = None,
    cancel_token: CancelToken | None = None,
) -> Summary:
    """Let the server process again a job's dataset that it could not, and watch; nothing is sent again.

    The same call again continues, or says that it is done. Raises as `run` does, and `UsageError` where nothing failed.
    """
    observer = observer or Observer()
    with hold(ledger, job.id) as current:
        again = is_by_addition(ledger, job) or ledger.events.last(job.id, *STARTED_AGAIN) is not None
        if current.state is not JobState.ERRORED and not again:
            raise UsageError(f"Job {job.id} is {current.state}: there is nothing to process again.")
        if current.state in (JobState.ERRORED, JobState.PROCESSING) or _to_confirm(ledger, current, settings):
            source, token = source_at(current.source), cancel_token or CancelToken()
            with _running(ledger, api, current, source, settings, observer, token) as context:
                if current.state is JobState.ERRORED and not ledger.rounds.take_up(context.run):
                    start_again(context)
                if settings.wait and context.reload().state is JobState.PROCESSING:
                    _follow(context)
                _confirm(context)
    return summarise(ledger, job.id)


def _to_confirm(ledger: Ledger, job: Job, settings: Settings) -> bool:
    """Return whether a job that is ready is still to be confirmed by the server's own list, read since its last round."""
    if not settings.confirm or job.state is not JobState.READY:
        return False
    listed = ledger.listing.last(job.id)
    if listed is None or listed[0].missing > 0:
        return True
    return has_grown_since(ledger.rounds.all(job.id), listed[1])


def _confirm(context: Context) -> None:
    """Ask the server for each file, where that is wanted and not done."""
    if _to_confirm(context.ledger, context.reload(), context.settings):
        confirm(context)


@contextmanager
def _running(
    ledger: Ledger,
    api: Api,
    job: Job,
    source: Source,
    settings: Settings,
    observer: Observer,
    cancel_token: CancelToken,
    executor: Executor | None = None,
) -> Iterator[Context]:
    """Make the run's row, and record how the run ended."""
    started_at = clock.monotonic()
    this = ledger.runs.take(job.id, host(), os.getpid(), __version__)
    exit_code = 1
    try:
        ledger.jobs.change_settings(this, settings.to_record())
        observer.job_started(job, this)
        lease = Lease(ledger.runs, this)
        context = Context(
            ledger, api, job, this, source, settings, cancel_token, observer, lease, started_at, executor
        )
        with listening(context, job.event_count):
            yield context
        exit_code = 0
    except VlIngestError as exc:
        exit_code = exc.exit_code
        raise
    finally:
        try:
            ledger.runs.end(this, exit_code)
        except LedgerError as exc:
            if exit_code == 0:
                raise
            observer.notice("warning", f"Could not record the end of the run: {exc}")


def _reopen(context: Context) -> None:
    """Give up the open transaction, if there is one."""
    context.check_may_continue()
    state = context.job.state
    if state in TRIGGERED:
        raise UsageError(
            f"Job {context.job.id} is {state}: its transaction can't be replaced. Use `--new` to send everything to another dataset."
        )
    if state in (JobState.TRANSACTION_OPEN, JobState.UPLOADED):
        context.ledger.batches.abandon_in_flight(context.run, died=True)
        again = context.ledger.jobs.reopen(context.run, state)
        context.observer.notice("step", f"{files_text(again)} will be sent again into a new transaction.")


def _is_over(ledger: Ledger, job: Job, settings: Settings) -> bool:
    """Return whether nothing is left to do for a job: nothing to confirm, to add or to label."""
    labels = job.state is JobState.READY and (settings.path_field or settings.folder_field)
    more = _to_confirm(ledger, job, settings) or _adds(job, settings) or labels
    return job.state in FINISHED and not more


def _adds(job: Job, settings: Settings) -> bool:
    """Return whether media may be added to a job's dataset, which is ready."""
    return settings.add and job.state is JobState.READY


def _advance(context: Context) -> bool:
    """Go through what is left of the job, step by step; return whether its folder was scanned for that."""
    if context.job.state is JobState.TRIGGERING:
        settle(context)
    if context.job.state is JobState.ADDING:
        settle_addition(context)
    if context.reload().state is JobState.UPLOADED:  # nothing more is sent into what is being processed
        adopted(context, read_status(context))
    wanting = context.reload().state not in TRIGGERED
    if wanting:
        upload(context)
        trigger(context)
    adds = context.settings.add
    if context.reload().state is JobState.PROCESSING and (context.settings.wait or (adds and not wanting)):
        _follow(context)
    if adds and context.reload().state is JobState.READY:
        additions.add(context)
    return wanting or adds


def _follow(context: Context) -> None:
    """Follow what is processed: the upload, or a round by addition."""
    by_addition = context.ledger.rounds.take_up(context.run) or is_by_addition(context.ledger, context.job)
    follow(context) if by_addition else watch(context)


def _check_may_begin(api: Api, source: Source, settings: Settings, cancel_token: CancelToken) -> None:
    """Raise what would stop a new job before anything was asked of the server, so that none is left behind.

    The folder may be large and hold nothing to send: `cancel_token` ends the look, too.
    """
    api.tokens.current()
    if any(map(is_read_once, (settings.files_from, *settings.exclude_from))):
        return
    with closing(scanner_of(source, settings, None, None)) as scanner:
        if next(scanner.found(cancel_token.raise_if_cancelled), None) is None and not scanner.unread:
            raise nothing_to_send(source.address, scanner.left_out)


def _finished(ledger: Ledger, job: Job, source: Source, settings: Settings, observer: Observer) -> Summary:
    """Return the summary of a job that is over; raise what ended it otherwise."""
    if job.state is JobState.ERRORED:
        raise failed(job.id, job.message)
    if job.state is JobState.CANCELLED:
        what_next = next_step(job, ledger.files.counts(job.id)).text
        raise UsageError(f"Job {job.id} was cancelled. {what_next}")
    return summarise(ledger, job.id, not_in_dataset=_not_in_dataset(ledger, job, source, settings, observer))


def _not_in_dataset(
    ledger: Ledger, job: Job, source: Source, settings: Settings, observer: Observer
) -> int | None:
    """Count the files of the source that came after the trigger; None if nobody can look any more.

    The observer is told how many the filters leave out now, though they are in the dataset.
    """
    if not can_be_walked(source, settings):
        return None
    with closing(scanner_of(source, settings, ledger, job)) as scanner:
        scanner.keep_list()
        counts = ledger.files.counts(job.id)
        late = count_new(ledger, job.id, scanner) + counts[FileState.PENDING] + counts[FileState.IN_FLIGHT]
        choice, last_id = Choice(), ledger.files.last_id(job.id)
        count_beyond(ledger, job.id, scanner, (FileState.SENT,), choice, last_id)
    for text in choice.sentences():
        observer.notice("step", text)
    return late
