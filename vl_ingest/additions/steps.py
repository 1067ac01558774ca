"""The way of an addition: scan, choose, wait until the server takes it, send it once, follow it to its end."""

from contextlib import suppress

from vl_ingest import clock
from vl_ingest.additions import follow as following
from vl_ingest.additions.changed import ChangedFiles
from vl_ingest.additions.choose import cut, is_last, next_batch
from vl_ingest.additions.content import skip_known, tell_known
from vl_ingest.additions.evidence import PARTIAL, Sight
from vl_ingest.additions.send import Failure, Receipt, body_of, goes_as_files, send
from vl_ingest.additions.settle import in_doubt_again, settle
from vl_ingest.additions.sight import Looker
from vl_ingest.domain import words
from vl_ingest.domain.choices import OnRejected, Reindex
from vl_ingest.domain.errors import (
    Answered,
    BadRequest,
    Conflict,
    CredentialsRefused,
    FilesHeld,
    FileTrouble,
    NotAvailable,
    NotDelivered,
    OutcomeUnknown,
    ProcessingFailed,
    Redirected,
    Refused,
    RequestError,
    Throttled,
    TooLarge,
    Undecided,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    WAIVABLE,
    Batch,
    BatchState,
    Facts,
    FileRow,
    FileState,
    Job,
    JobState,
    StatusClass,
)
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.standing import next_step, run_command
from vl_ingest.observers.observer import Progress
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.retry import gave_up, refused
from vl_ingest.upload.scan import FolderEmpty, check_source, scan
from vl_ingest.upload.steps import first_few

DOING = "add media"
FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.1, 30.0, 1.3
REFUSED_AT_MOST = 8  # files in a row, of the first that are sent: it is hardly the files


def add(context: Context) -> None:
    """Add what is new in the folder to the dataset, and follow it until the server is done.

    Raises `FilesHeld` for files that can't be sent, when all others are added; `Undecided`, `ProcessingFailed`, `GaveUp`
    and `Refused` for what ends the run before.
    """
    context.ledger.additions.release(context.run)  # by a run that died: certainly not sent
    held: FilesHeld | None = None
    changed = ChangedFiles(context)
    try:
        scan(context, lambda: None, "nothing of that was added", changed.look)
    except FolderEmpty:  # its files are not missing: nobody knows
        raise
    except FilesHeld as exc:  # what was found is added all the same
        held = exc
    changed.tell()
    if context.settings.skip_known_content:
        skip_known(context)
    adding = _Adding(context)
    try:
        adding.all()
    finally:
        if context.reload().state is JobState.READY:
            context.ledger.additions.release(context.run)
    if context.settings.reindex is Reindex.AUTO and context.settings.wait and _wants_reindex(context):
        following.reindex(context)
    _finish(context)
    if held is not None:
        raise held


def _finish(context: Context) -> None:
    """Raise what is left: files that can't be sent."""
    if context.settings.on_rejected is OnRejected.SKIP:
        waived = context.ledger.decisions.waive_rejected(context.run)
        if waived:
            context.observer.notice(
                "step", f"{files_text(waived)} rejected, and waived by --on-rejected skip."
            )
    job, counts = context.reload(), context.ledger.files.counts(context.job.id)
    if held := sum(counts[state] for state in WAIVABLE):
        some = first_few(
            context.ledger.files, job.id, *(state for state in sorted(WAIVABLE) if counts[state])
        )
        raise FilesHeld(f"{files_text(held)} can't be added:\n{some}\n{next_step(job, counts).text}")


def _wants_reindex(context: Context) -> bool:
    job = context.reload()
    return job.state is JobState.READY and (job.status or "").upper() == PARTIAL


class _Adding:
    """All additions of one run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._looker = Looker(context)
        self._taken = False  # any file by the server, in this run
        self._refused: list[FileRow] = []  # of the first that were sent, while none was taken

    def all(self) -> None:
        """Add one batch after the other, first those in doubt; of a split one, first its first half."""
        waiting = self._context.ledger.additions.kept(self._context.job.id)[::-1]
        while (batch := waiting.pop() if waiting else next_batch(self._context)) is not None:
            last = not waiting and is_last(self._context)
            followers = self._carry_through(batch, last=last)
            waiting += reversed(followers)
            if self._context.reload().state is JobState.PROCESSING:
                if last and not self._context.settings.wait:
                    return
                following.follow(self._context)

    def _carry_through(self, batch: Batch, *, last: bool) -> list[Batch]:
        """Add a batch; return what it was cut into instead."""
        context, failures, renewed, began_at = self._context, 0, False, clock.monotonic()
        conflicts = 0  # in a row
        reindexes = last and context.settings.reindex is Reindex.AUTO
        while True:
            before, waited = self._wait_until_idle()
            if in_doubt_again(context, batch, before, stirred=waited):
                if self._settled(watched=False):
                    return []
                continue  # it took a while
            body = body_of(context, batch, reindex=reindexes)
            form = "files" if goes_as_files(context.settings, batch) else "archive"
            context.check_may_continue()
            told = {"form": form, "reindex": reindexes, **before.to_record()}
            batch = context.ledger.additions.intend(context.run, batch, **told)
            context.observer.notice(
                "step", f"Adding {files_text(len(batch.files))}, {words.size(batch.size_bytes)}."
            )
            came = send(context, body)
            if came is None:
                context.cancel_token.raise_if_cancelled()
                raise AssertionError("a request was left alone by a run that was not halted")
            if isinstance(came, Receipt):
                self._acknowledged(batch, came)
                return []
            failures += 1
            conflicts = conflicts + 1 if isinstance(came.error, Conflict) else 0
            if renewed and isinstance(came.error, CredentialsRefused):
                self._not_carried_out(batch, EventKind.ADDITION_REFUSED, came.error)
                raise refused(DOING, came.error, context.reload()) from came.error
            renewed = isinstance(came.error, CredentialsRefused)
            followers = self._failed(batch, came, len(body))
            if followers is not None:
                return followers
            if clock.monotonic() - began_at > context.settings.give_up_after_s:
                raise gave_up(DOING, came.error)
            self._pause(failures, conflicts)

    def _pause(self, failures: int, conflicts: int) -> None:
        """Wait before a batch is sent again."""
        context, seconds = self._context, backoff_s(failures, busy=conflicts)
        if not conflicts:
            context.pause(seconds)
            return
        text = f"The server is busy, and has refused the addition {words.several(conflicts, 'time')} in a row"
        with context.waiting(f"{text}: next attempt in {words.duration(seconds)}."):
            context.pause(seconds)

    def _wait_until_idle(self) -> tuple[Sight, bool]:
        """Wait until the server takes an addition; return what it shows then, and whether it was seen at work.

        Raises `ProcessingFailed` where it never will, and `Undecided` where its status stays one that nobody knows.
        """
        context, interval_s, told, since = self._context, FIRST_POLL_S, "", clock.monotonic()
        while True:
            sight, status = self._looker.look()
            if status.status_class is StatusClass.FAILED:
                raise ProcessingFailed(
                    f"The dataset is {status.word}, and takes no additions: {words.clause(status.message or 'it does not say why')}."
                )
            if sight.idle:
                return sight, bool(told)
            stays = sight.word == told and clock.monotonic() - since >= context.settings.settle_s
            if status.status_class is StatusClass.UNCLEAR and stays:
                raise Undecided(
                    f"The dataset is {status.word}, which is not documented, so nobody knows whether it takes additions. Nothing "
                    "was sent. Look at the dataset, and run the same command again when it is ready."
                )
            if sight.word != told:
                told, since = sight.word, clock.monotonic()
                text = f"Waiting to add media: {following.plain(status.word)}."
                context.observer.notice("waiting", text)
            counts = context.ledger.files.counts(context.job.id)
            waiting = f"waiting until the dataset takes additions ({status.word})"
            context.show(Progress(JobState.READY, counts, waiting=waiting))
            context.pause(interval_s)
            interval_s = min(LONGEST_POLL_S, interval_s * GROWTH)

    def _acknowledged(self, batch: Batch, receipt: Receipt) -> None:
        context = self._context
        number = context.ledger.additions.acknowledge(
            context.run, batch, receipt.sha256s, receipt.http_status
        )
        self._taken = True
        context.observer.notice(
            "step", f"Round {number}: the server has taken {files_text(len(batch.files))}."
        )
        tell_known(context, zip(batch.files, receipt.sha256s, strict=True))

    def _failed(self, batch: Batch, failure: Failure, body_bytes: int) -> list[Batch] | None:
        """Record a request without a receipt, and carry out what follows from it.

        Returns the batches that take its place, none where it has begun after all; None: it is to be sent again.
        """
        context, error = self._context, failure.error
        if self._may_have_begun(batch, failure):
            if self._unknown(batch, failure):
                return []
            if isinstance(error, Redirected):  # the next one would be, too
                raise refused(DOING, error, context.reload()) from error
            return self._without(batch, error) if isinstance(error, FileTrouble) else None
        unsent = isinstance(error, FileTrouble | NotDelivered | Refused)
        kind = EventKind.ADDITION_NOT_DELIVERED if unsent else EventKind.ADDITION_REFUSED
        self._not_carried_out(batch, kind, error)
        match error:
            case FileTrouble():
                return self._without(batch, error)
            case BadRequest() | TooLarge():
                if isinstance(error, TooLarge):
                    context.ledger.jobs.learn_too_large(context.run, body_bytes)
                return self._blame(batch, error)
            case Throttled():
                context.pause(error.retry_after_s or 0.0)
            case CredentialsRefused():
                context.api.tokens.renew(error)
            case NotAvailable():
                raise _off(error, context.job) from error
            case Refused():  # a certificate, or no token to be had
                raise error
            case Answered():
                raise refused(DOING, error, context.reload()) from error
        return None

    def _may_have_begun(self, batch: Batch, failure: Failure) -> bool:
        """Return whether a request without a receipt may have been carried out, or an earlier one that it met."""
        match failure.error:
            case FileTrouble():
                return failure.bytes_out > 0
            case Conflict() | Redirected() | OutcomeUnknown():
                return True
            case BadRequest():  # perhaps because of what an earlier request has brought
                return self._in_doubt(batch)
        return False

    def _in_doubt(self, batch: Batch) -> bool:
        """Return whether an earlier request may have brought files of the batch that has just been sent."""
        doubt = self._context.ledger.additions.doubt(self._context.job.id, batch)
        return doubt is not None and doubt.earlier

    def _not_carried_out(self, batch: Batch, kind: EventKind, error: Exception) -> None:
        http_status = error.http_status if isinstance(error, RequestError) else None
        detail = error.detail if isinstance(error, RequestError) else str(error)
        self._context.ledger.additions.not_carried_out(self._context.run, batch, kind, http_status, detail)

    def _unknown(self, batch: Batch, failure: Failure) -> bool:
        """Record that the outcome is unknown, and settle it; return whether the addition has begun."""
        context, error = self._context, failure.error
        conflict = isinstance(error, Conflict)
        said_no = isinstance(error, Conflict | BadRequest)
        http_status = error.http_status if isinstance(error, RequestError) else None
        context.ledger.additions.unknown(
            context.run, batch, http_status, str(error), failure.sha256s, conflict=said_no
        )
        said = (
            "The dataset is being updated by somebody else"
            if conflict
            else "The outcome of the addition is unknown"
        )
        context.observer.notice("step" if conflict else "warning", f"{said} ({words.clause(error)}).")
        return self._settled(watched=True)

    def _settled(self, *, watched: bool) -> bool:
        begun = settle(self._context, watched=watched)
        self._taken = self._taken or begun
        return begun

    def _without(self, batch: Batch, trouble: FileTrouble) -> list[Batch]:
        """Go on without a file that is not what was promised. Raises `FilesHeld` where the whole source has vanished."""
        context = self._context
        check_source(context)
        culprit = next(file for file in batch.files if file.path == trouble.path)
        facts: Facts | None = None
        if trouble.state == FileState.CHANGED:
            with suppress(FileTrouble):  # its next turn will tell
                facts = context.source.look(culprit.path)
        rest = context.ledger.batches.supersede(context.run, batch, [(culprit, trouble, facts)])
        context.observer.file_error(culprit.path, FileState(trouble.state), trouble.reason)
        return [] if rest is None else [rest]

    def _blame(self, batch: Batch, error: BadRequest | TooLarge) -> list[Batch]:
        """Split a batch that is refused until the culprit stands alone, which is then rejected."""
        context, several = self._context, len(batch.files) > 1
        if several:
            return context.ledger.batches.split(context.run, batch, cut(batch, error.detail), str(error))
        (file,) = batch.files
        reason = f"too large for the server: {error.detail}" if isinstance(error, TooLarge) else str(error)
        context.ledger.batches.conclude(context.run, batch, BatchState.FAILED, FileState.REJECTED, reason)
        self._refused.append(file)
        if not self._taken and len(self._refused) >= REFUSED_AT_MOST:
            context.ledger.batches.unreject(context.run, self._refused, reason)
            raise Refused(
                f"The server refused the first {len(self._refused)} files that were to be added, one by one, so the files are "
                f"hardly the cause: {words.clause(reason)}. Check whether the dataset takes additions, then run the same "
                "command again."
            )
        context.observer.file_error(file.path, FileState.REJECTED, reason)
        return []


def _off(error: NotAvailable, job: Job) -> Refused:
    """Return the error for a server that does not add media."""
    if error.http_status == 403:
        return Refused(
            f"Adding media is not enabled on this server or for this account: {words.clause(error)}. Have it enabled, then run "
            f"the same command again; or run `{run_command(job, '--new')}` to send the folder to another dataset."
        )
    return Refused(
        f"This server can't add media to the dataset: {words.clause(error)}. Check whether the dataset still exists; or run "
        f"`{run_command(job, '--new')}` to send the folder to another one."
    )
