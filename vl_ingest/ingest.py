"""The library: what the command line does, for programs."""

import os
import threading
from collections.abc import Callable, Sequence

from vl_ingest import job as jobs
from vl_ingest.domain.errors import Stopped, Unforeseen, UsageError, VlIngestError
from vl_ingest.domain.forms import CLOUD_URL, normalise_base_url
from vl_ingest.domain.model import Job, Run
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import default_path
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.observers.observer import Observer, Observers, Progress
from vl_ingest.run.cancel import CancelToken
from vl_ingest.server.api import Api
from vl_ingest.server.credentials import find
from vl_ingest.server.tokens import Tokens
from vl_ingest.source.folder import Folder


class Ingest:
    """Uploads folders to datasets and keeps the ledger of it.

    `ledger` is a path or URL (by default the one of the command line), or a `Ledger` that the caller closes.
    `base_url` is the server, by default the cloud, and for a known job its own. `tokens` are by default those that the
    environment, the credentials file and the keyring give (`vl_ingest.credentials`). `observers` are told of
    everything; `on_progress` about once a second of where a run stands.

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
    ) -> None:
        self._owns = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger or default_path(), create=True)
        self._base_url = None if base_url is None else normalise_base_url(base_url)
        self._tokens = tokens
        self._caller = _Caller(on_progress)
        self._observer = Observers([self._caller, *observers])
        self._cancel_token = CancelToken()
        self._busy = threading.Lock()

    def run(
        self, source: str | os.PathLike[str], name: str, settings: Settings | None = None, *, new: bool = False,
        new_transaction: bool = False,
    ) -> Summary:  # fmt: skip
        """Take the folder `source` to a processed dataset `name`; the same call again goes on where it stopped.

        `new` starts another job after a finished one; `new_transaction` sends everything again. Raises a
        `VlIngestError` that says what stopped it and, as `exit_code`, of which kind it is; nothing is lost.
        """
        return self._observed(
            lambda api, cancel_token: jobs.run(
                self.ledger, api, Folder.at(os.fspath(source)), name, settings or Settings(), new=new,
                new_transaction=new_transaction, observer=self._observer, cancel_token=cancel_token,
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
                source=None if source is None else Folder.at(os.fspath(source)), observer=self._observer, cancel_token=cancel_token,
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
        return summarise(self.ledger, job.id if isinstance(job, Job) else self.find(job).id)

    def stop(self, reason: VlIngestError | None = None) -> None:
        """End the run that is going on, or else the next one, from any thread; it raises `Stopped`, or the reason given."""
        self._cancel_token.cancel(
            reason or Stopped("Stopped by the program. The same call goes on where this one stopped.")
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


class _Caller(Observer):
    """Knows the run that is going on, and tells the caller's function of its progress."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self.run: Run | None = None
        self._on_progress = on_progress

    def job_started(self, job: Job, run: Run) -> None:  # noqa: ARG002  # an observer's
        """Keep the run."""
        self.run = run

    def progress(self, progress: Progress) -> None:
        """Tell of it."""
        if self._on_progress is not None:
            self._on_progress(progress)
