"""The library: what the command line does, for programs."""

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from vl_ingest import clock
from vl_ingest import job as jobs
from vl_ingest.couriers.engine import check_executor
from vl_ingest.domain.checks import Check
from vl_ingest.domain.errors import Stopped, Unforeseen, UsageError, VlIngestError
from vl_ingest.domain.forms import (
    CLOUD_URL,
    normalise_base_url,
    parse_choice,
    parse_duration,
    parse_reason,
    read_option,
)
from vl_ingest.domain.model import FINISHED, Event, FileRow, FileState, Job
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import default_path
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.manage import decide
from vl_ingest.manage.live import Live, look
from vl_ingest.manage.stop import PATIENCE_S, stop
from vl_ingest.observers.caller import Caller
from vl_ingest.observers.observer import Observer, Observers, Progress
from vl_ingest.processing.abort import abort as abort_processing
from vl_ingest.proof.rehash import Rehash, verify_files
from vl_ingest.proof.whole import check_head, checks, raise_what_differs
from vl_ingest.report import FORMATS, history
from vl_ingest.report.write import format_of, write, write_file
from vl_ingest.run.cancel import CancelToken
from vl_ingest.server.api import Api
from vl_ingest.server.credentials import find
from vl_ingest.server.tokens import Tokens
from vl_ingest.source.addresses import existing_source, source_at


class Ingest:
    """Uploads folders to datasets and keeps the ledger of it.

    `ledger` is a path or URL (by default the one of the command line), or a `Ledger` that the caller closes.
    `base_url` is the server, by default the cloud, and for a known job its own. `tokens` are by default those that the
    environment, the credentials file and the keyring give (`vl_ingest.credentials`). `observers` are told of
    everything; `on_progress` about once a second of where a run stands. `executor` sends the batches, if it is given: one
    that runs each call at most once, where the folder has the same path (or `remote_source`) and this package is
    installed; the caller ends it. For the workers of a Dask cluster there is `Settings(dask=...)`; Dask's own executor is
    a `UsageError`, as it runs calls again.

    One run at a time; from any thread. Signals are left to the caller: `stop` ends a run from another thread.
    """

    def __init__(
        self,
        ledger: Ledger | str | os.PathLike[str] | None = None,
        *,
        base_url: str | None = None,
        tokens: Tokens | None = None,
        observers: Sequence[Observer] = (),
        on_progress: Callable[[Progress], None] | None = None,
        executor: Executor | None = None,
    ) -> None:
        if executor is not None:
            check_executor(executor)
        self._owns = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger or default_path(), create=True)
        self._base_url = None if base_url is None else normalise_base_url(base_url)
        self._tokens = tokens
        self._executor = executor
        self._caller = Caller(on_progress)
        self._observer = Observers([self._caller, *observers])
        self._cancel_token = CancelToken()
        self._busy = threading.Lock()

    def run(
        self, source: str | os.PathLike[str], name: str, settings: Settings | None = None, *, new: bool = False,
        new_transaction: bool = False,
    ) -> Summary:  # fmt: skip
        """Take the folder `source` to a processed dataset `name`; the same call again continues where it stopped.

        `new` starts another job after a finished one; `new_transaction` sends everything again. Raises a
        `VlIngestError` that says what stopped it and, as `exit_code`, of which kind it is; nothing is lost.
        """
        return self._observed(
            lambda api, cancel_token: jobs.run(
                self.ledger, api, existing_source(os.fspath(source)), name, settings or Settings(), new=new,
                new_transaction=new_transaction, observer=self._observer, cancel_token=cancel_token,
                executor=self._executor,
            ),
            self._base_url or CLOUD_URL,
        )  # fmt: skip

    def resume(
        self, job: Job | str | None = None, settings: Settings | None = None, *,
        source: str | os.PathLike[str] | None = None,
    ) -> Summary:  # fmt: skip
        """Continue a job, by default the only unfinished one, with `settings` or those it had.

        Its time limit was that of one run, and is not taken over. `source` is where the folder lies now, if it has
        moved. Raises as `run` does.
        """
        known = job if isinstance(job, Job) else self.find(job)
        return self._observed(
            lambda api, cancel_token: jobs.resume(
                self.ledger, api, known, settings or Settings.of_job(known.settings),
                source=None if source is None else existing_source(os.fspath(source)), observer=self._observer, cancel_token=cancel_token,
                executor=self._executor,
            ),
            self._base_url or known.base_url,
        )  # fmt: skip

    def add(
        self,
        job: Job | str,
        settings: Settings | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
    ) -> Summary:
        """Add what is new in a job's folder to its dataset, with `settings` or those it had; each addition exactly once.

        `source` is where the folder lies now, if it has moved. Raises as `run` does.
        """
        known = self._job(job)
        return self.resume(
            known, replace(settings or Settings.of_job(known.settings), add=True), source=source
        )

    def reprocess(self, job: Job | str, settings: Settings | None = None) -> Summary:
        """Let the server process again a job's dataset that it could not, and watch; nothing is sent again.

        Raises as `run` does, `UsageError` where nothing failed, and `Refused` where the server offers no such thing.
        """
        known = self._job(job)
        return self._observed(
            lambda api, cancel_token: jobs.reprocess(
                self.ledger, api, known, settings or Settings.of_job(known.settings), observer=self._observer,
                cancel_token=cancel_token,
            ),
            self._base_url or known.base_url,
        )  # fmt: skip

    def find(self, reference: str | None = None) -> Job:
        """Return a job by its id or name, or the only unfinished one. Raises `UsageError` where that is not one."""
        return self.ledger.jobs.only_unfinished() if reference is None else self.ledger.jobs.find(reference)

    def jobs(self) -> list[Job]:
        """Return all jobs of the ledger, oldest first."""
        return self.ledger.jobs.all()

    def summary(self, job: Job | str) -> Summary:
        """Return where a job stands, by its id or name; neither the server nor the folder is asked."""
        return summarise(self.ledger, self._job(job).id)

    def live(self, job: Job | str) -> Live | None:
        """Return what the server says of a job's dataset and of its tasks now; None while the job has no dataset.

        Nothing is recorded. Raises `GaveUp` where the server gives no answer.
        """
        known = self._job(job)
        base_url = self._base_url or known.base_url
        return (
            None
            if known.dataset_id is None
            else look(Api(base_url, self._tokens or find(base_url).tokens), known.dataset_id)
        )

    def waive(self, job: Job | str, *names: str, everything: bool = False, reason: str | None = None) -> int:
        """Let the job go on without files that can't be sent: the named ones, or `everything`; return how many.

        A name is a path as `files` has it, a path to the file, or a pattern as in .gitignore; `reason` goes on record.
        Raises `UsageError` for a name that stands for no file that can't be sent, for neither or both of names and
        `everything`, and once processing was started; `JobHeld` while a run works on the job.
        """
        chosen = decide.waived_names(names, everything=everything)
        why = None if reason is None else read_option("--reason", parse_reason, reason)
        return decide.waive(self.ledger, self._job(job), chosen, why)

    def retry(self, job: Job | str, *names: str) -> int:
        """Let files be tried again that could not be sent, all or the named ones; return how many. Raises as `waive`."""
        return decide.retry(self.ledger, self._job(job), names or None)

    def settle(
        self, job: Job | str, word: Literal["began", "not-begun", "delivered", "not-delivered"]
    ) -> int | None:
        """Decide an outcome that is unknown by your word, which is kept in the record.

        Returns how many files that is about; None where it is about the trigger. Raises `UsageError` where nothing is
        unknown, `JobHeld` while a run works on the job.
        """
        return decide.settle(self.ledger, self._job(job), word)

    def cancel(self, job: Job | str, *, patience: float | str = PATIENCE_S, abort: bool = False) -> None:
        """Give a job up, after a run that works on it was stopped; what is on the server stays there.

        With `abort` the server is asked to stop processing, where it can; the history says what became of that. `patience` is how long to wait for that run's end, in seconds or as "2m". Raises `JobHeld` if it goes on for
        longer, `UsageError` if the job is over already.
        """
        wait_s, known = read_option("--patience", parse_duration, patience), self._job(job)
        stop(self.ledger, known, wait_s, "cancel")
        if abort and known.state not in FINISHED:
            base_url = self._base_url or known.base_url
            abort_processing(self.ledger, Api(base_url, self._tokens or find(base_url).tokens), known)
        decide.cancel(self.ledger, self.ledger.jobs.get(known.id))

    def files(self, job: Job | str, *states: FileState | str) -> Iterator[FileRow]:
        """Return the files of a job in the order of paths, only those in one of `states` if any are named.

        Raises `UsageError` for what is no state.
        """
        words = (word.strip() for state in states for word in state.split(","))
        chosen = [read_option("--state", lambda word: parse_choice(FileState, word), word) for word in words]
        return self.ledger.files.rows(self._job(job).id, *chosen)

    def events(
        self, job: Job | str, *kinds: str, since: float | str | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """Return the history of a job, oldest first, only events of these `kinds` if any are named.

        `since` leaves only those of the last while, in seconds or as "2h"; with `follow` it goes on as more happens,
        until the job is over. Raises `UsageError` for what is no kind of event.
        """
        since_s = None if since is None else read_option("--since", parse_duration, since)
        earliest = None if since_s is None else clock.now() - timedelta(seconds=since_s)
        known = self._job(job)
        history.check_kinds(self.ledger, known, kinds)
        return history.history(self.ledger, known, kinds, earliest, follow=follow)

    def report(
        self, job: Job | str, output: str | os.PathLike[str] | None = None, *,
        form: Literal["text", "json", "csv", "html"] | None = None,
    ) -> str:  # fmt: skip
        """Return what was sent as text, or write it to the file `output` (whole or not at all) and return its path.

        Its form is by default that of the ending of `output`, else "text". Raises `UsageError` for a form or an ending
        that is none, a file that can't be written, and packages that the page misses.
        """
        if form is not None and form not in FORMATS:
            raise UsageError(
                f"Invalid value for '--format': {form!r} is not one of {', '.join(map(repr, FORMATS))}."
            )
        target = None if output is None else Path(output)
        chosen, known = format_of(form, target), self._job(job)
        if target is not None:
            write_file(self.ledger, known.id, chosen, target)
            return str(target)
        out = io.StringIO(newline="")
        write(self.ledger, known.id, chosen, out)
        return out.getvalue()

    def verify(
        self, job: Job | str, *, rehash: bool = False, afresh: bool = False, source: str | os.PathLike[str] | None = None,
        files: bool = True, offline: bool = False, dataset: bool = True, head: str | None = None, report: str | os.PathLike[str] | None = None,
        on_check: Callable[[Check], None] | None = None, on_difference: Callable[[str, str], None] | None = None,
        on_progress: Callable[[Rehash], None] | None = None,
    ) -> list[Check]:  # fmt: skip
        """Check a job's record, its files on disk (unless not `files`), its dataset (unless `offline`), and each file in it.

        The server is asked for each file unless not `dataset`; what it says goes into the ledger.

        With `rehash` every sent file is read again, from where that was interrupted unless `afresh`; `source` is where
        the folder lies now, `head` a hash that must still be in the chain, `report` a report made earlier.
        `on_check` is told of each check as it is made, `on_difference` of each file that differs (path, reason),
        `on_progress` of how far the comparison of files is.

        Returns the checks if none of them failed. Raises `Differs` if one did, `GaveUp` where the server gives no
        answer, `UsageError` for what is no hash or no report.
        """
        check_head(head)
        known = self._job(job)
        tell = on_check or (lambda _check: None)
        base_url = self._base_url or known.base_url
        made: list[Check] = []
        for check in checks(
            self.ledger, known, head=head, report=None if report is None else Path(report),
            source=source_at(os.fspath(source or known.source)) if files else None,
            compare=lambda folder: verify_files(
                self.ledger, known, folder, hashed=rehash, afresh=afresh,
                differs=on_difference or (lambda _path, _reason: None), progress=on_progress or (lambda _state: None),
            ),
            api=None if offline else lambda: Api(base_url, self._tokens or find(base_url).tokens),
            differs=(on_difference or (lambda _path, _reason: None)) if dataset else None,
        ):  # fmt: skip
            made.append(check)
            tell(check)
        raise_what_differs(known, made)
        return made

    def stop(self, reason: VlIngestError | None = None) -> None:
        """End the run that is going on, or else the next one, from any thread; it raises `Stopped`, or the reason given."""
        self._cancel_token.cancel(
            reason or Stopped("Stopped by the program. The same call continues where this one stopped.")
        )

    @property
    def requests(self) -> int:
        """How many requests are on their way: a run that is asked to stop waits up to `GRACE_S` for their answers."""
        return self._cancel_token.requests

    def abandon(self, error: VlIngestError) -> None:
        """Put the end of a run that hangs in a request on record; for whoever is about to end the process."""
        if self._caller.run is not None:
            self.ledger.runs.end(self._caller.run, error.exit_code)

    def close(self) -> None:
        """Close the ledger, if it was opened here."""
        if self._owns:
            self.ledger.close()

    def __enter__(self) -> "Ingest":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _job(self, job: Job | str) -> Job:
        return job if isinstance(job, Job) else self.find(job)

    def _observed(self, work: Callable[[Api, CancelToken], Summary], base_url: str) -> Summary:
        """Do the work and tell the observers how it ended, also when it ended badly."""
        if not self._busy.acquire(blocking=False):
            raise UsageError("This `Ingest` is at work: another run at the same time wants one of its own.")
        try:
            tokens = self._tokens or find(base_url).tokens
            try:
                summary = work(Api(base_url, tokens), self._cancel_token)
            finally:
                self._caller.run = None  # before the observers are told, which may take long
        except VlIngestError as exc:
            self._observer.ended(exc)
            raise
        except Exception as exc:
            self._observer.ended(Unforeseen(f"A mistake ended the run: {type(exc).__name__}."))
            raise
        finally:
            self._cancel_token = CancelToken()
            self._busy.release()
        self._observer.finished(summary)
        return summary
