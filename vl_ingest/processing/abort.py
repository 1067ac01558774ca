"""Abort processing on the server, where it can be aborted: intended, sent once, and settled by the task itself."""

from typing import TYPE_CHECKING

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    GaveUp,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    RequestError,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Job, JobState
from vl_ingest.domain.remote import TASK_OVER, Task
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import author
from vl_ingest.ledger.lock import hold
from vl_ingest.manage.decide import LETTING_GO_S
from vl_ingest.processing.evidence import TASKS, creation_tasks
from vl_ingest.processing.settle import FIRST_POLL_S, GROWTH, POLL_S
from vl_ingest.run.asking import TRIES, Asking
from vl_ingest.run.backoff import backoff_s

if TYPE_CHECKING:
    from vl_ingest.server.api import Api

AT_WORK = (JobState.TRIGGERING, JobState.PROCESSING)
ABORTED = "processing is aborted on the server"


def abort(ledger: Ledger, api: "Api", job: Job) -> str:
    """Have processing aborted that no run of ours works on; return in words what became of that, without a full stop.

    Where it is too late, or the server offers no such thing, that is said. Raises `GaveUp` where the outcome can't be
    learnt now: then the same call settles it.
    """
    from vl_ingest.server.optional import Extras

    with hold(ledger, job.id, LETTING_GO_S) as current:
        if current.state not in AT_WORK or current.dataset_id is None:
            return "there was no processing to abort"
        return _Abort(Asking(ledger, current, Extras.beside(api)), current.dataset_id).carry_out()


class _Abort:
    """One abort, perhaps one that an earlier process has begun."""

    def __init__(self, asking: Asking, dataset_id: str) -> None:
        self._asking = asking
        self._dataset_id = dataset_id
        self._settle_s = Settings.of_job(asking.job.settings).settle_s

    def carry_out(self) -> str:
        """Return what became of it."""
        if (task_id := self._open_intent()) is not None and (said := self._settled(task_id)) is not None:
            return said
        for attempt in range(1, TRIES + 1):
            task = self._newest()
            said = task if isinstance(task, str) else self._request(task)
            if said is not None:
                return said
            self._asking.pause(backoff_s(attempt))
        raise GaveUp(
            "The request to abort processing did not reach the server. Run the same command again later."
        )

    def _request(self, task: Task) -> str | None:
        """Send the request once; return what became of it, None where it may be sent again."""
        asking = self._asking
        asking.note(EventKind.ABORT_INTENDED, by=author(), task=task.id, task_status=task.status)
        try:
            asking.extras.abort_task(task.id)
        except NotDelivered as exc:
            asking.note(EventKind.ABORT_NOT_DELIVERED, detail=str(exc))
            return None
        except CredentialsRefused as exc:
            asking.note(EventKind.ABORT_REFUSED, detail=str(exc))
            asking.extras.tokens.renew(exc)  # raises `Refused` where there is no other
            return None
        except (OutcomeUnknown, Redirected) as exc:
            return self._unknown(task, exc)
        except Answered as exc:
            asking.note(EventKind.ABORT_REFUSED, detail=str(exc))
            if isinstance(exc, Conflict):
                return f"it was too late to abort processing ({words.clause(exc)})"
            return f"processing could not be aborted: the server does not offer that ({words.clause(exc)})"
        asking.note(EventKind.ABORT_ACKNOWLEDGED, task=task.id)
        return ABORTED

    def _newest(self) -> Task | str:
        """Return the task to abort, or why there is none."""
        tasks = creation_tasks(self._asking, self._dataset_id)
        if tasks is None:
            why = self._asking.missing.get(TASKS)
            if why is None:
                raise GaveUp(
                    "The server did not say what it is working on. Run the same command again later."
                )
            return f"processing could not be aborted: the server does not offer that ({words.clause(why)})"
        under_way = [task for task in tasks if task.status.upper() not in TASK_OVER]
        if under_way:
            return under_way[0]
        if not tasks:
            return "the server knows no task to abort"
        if tasks[0].status.upper() == "ABORTED":
            return f"{ABORTED} already"
        return f"it was too late to abort processing (the server's task is {tasks[0].status})"

    def _unknown(self, task: Task, error: RequestError) -> str:
        self._asking.note(EventKind.ABORT_UNKNOWN, detail=str(error))
        said = self._settled(task.id)
        if said is None:
            raise GaveUp(
                f"The outcome of the request to abort processing is unknown ({words.clause(error)}), and the server's task "
                "goes on. The job is not cancelled. Run the same command again."
            )
        return said

    def _settled(self, task_id: str) -> str | None:
        """Return what became of an abort whose answer nobody knows; None if the task goes on for a settling window."""
        until, poll_s = clock.monotonic() + self._settle_s, FIRST_POLL_S
        while True:
            tasks = creation_tasks(self._asking, self._dataset_id) or []
            task = next((task for task in tasks if task.id == task_id), None)
            if task is not None and task.status.upper() in TASK_OVER:
                aborted = task.status.upper() == "ABORTED"
                self._asking.note(EventKind.ABORT_SETTLED, aborted=aborted, task_status=task.status)
                if aborted:
                    return ABORTED
                return f"it was too late to abort processing (the server's task is {task.status})"
            if clock.monotonic() >= until:
                return None
            self._asking.pause(poll_s)
            poll_s = min(POLL_S, poll_s * GROWTH)

    def _open_intent(self) -> str | None:
        """Return the task of an abort whose outcome nobody knows, if there is one."""
        events, job_id = self._asking.ledger.events, self._asking.job.id
        last = events.last(
            job_id, EventKind.ABORT_INTENDED, EventKind.ABORT_UNKNOWN, EventKind.ABORT_NOT_DELIVERED,
            EventKind.ABORT_REFUSED, EventKind.ABORT_ACKNOWLEDGED, EventKind.ABORT_SETTLED,
        )  # fmt: skip
        if last is None or last.kind not in (EventKind.ABORT_INTENDED, EventKind.ABORT_UNKNOWN):
            return None
        intent = events.last(job_id, EventKind.ABORT_INTENDED)
        return None if intent is None else str(intent.facts["task"])
