"""What the server may still tell of the time before processing was started: a failure that is over, a task that had ended."""

from dataclasses import dataclass

from vl_ingest import clock
from vl_ingest.domain.events import STARTED_AGAIN, EventKind
from vl_ingest.domain.model import DatasetStatus, Event, StatusClass
from vl_ingest.domain.remote import TASK_OVER, Task
from vl_ingest.processing.evidence import Evidence
from vl_ingest.processing.reprocess import RETRYABLE, gone_on
from vl_ingest.run.context import Context


@dataclass(frozen=True)
class Earlier:
    """The failure before processing was started again; `since` is when this run began to look, on the monotonic clock."""

    context: Context
    intent: Event
    again: Event
    since: float

    @classmethod
    def of(cls, context: Context) -> "Earlier | None":
        """Return it, where processing was started again on request."""
        events, job_id = context.ledger.events, context.job.id
        again = events.last(job_id, *STARTED_AGAIN, EventKind.REPROCESS_ADOPTED)
        intent = events.last(job_id, EventKind.REPROCESS_INTENDED)
        if again is None or intent is None or again.kind == EventKind.REPROCESS_ADOPTED:
            return None
        return cls(context, intent, again, clock.monotonic())

    def still_told(self, task: Task | None) -> bool:
        """Return whether a failure that the server tells of now may be the earlier one; `task` is its newest.

        No longer once another status was seen since, or the task has failed anew; nor for longer than a settling window.
        """
        history = self.context.ledger.events.history(
            self.context.job.id, EventKind.STATUS_CHANGED, after=self.again.number
        )
        if any(not _failed(str(event.facts["status"])) for event in history):
            return False
        if task is not None and task.status.upper() not in TASK_OVER:
            return True
        failed = task is not None and task.status.upper() in RETRYABLE
        if task is not None and failed and gone_on(self.intent.facts, [task]) is not None:
            return False
        return clock.monotonic() - self.since < self.context.settings.settle_s


def has_ended_since(context: Context, task: Task) -> bool:
    """Return whether the newest task of the dataset's creation came to its end since processing was last started.

    Where that can't be known, it has not.
    """
    if task.status.upper() not in ("COMPLETED", "FAILED"):
        return False
    earlier = Earlier.of(context)
    if earlier is not None:
        facts = earlier.intent.facts
        return task.id not in facts.get("tasks", {task.id: ""}) or gone_on(facts, [task]) is not None
    if context.ledger.events.last(context.job.id, EventKind.REPROCESS_ADOPTED) is not None:
        return (
            task.status.upper() == "COMPLETED"
        )  # what the task was before somebody else's request, nobody has noted
    before = Evidence.of(context).before
    return before is not None and before.get(task.id, "").upper() != task.status.upper()


def _failed(word: str) -> bool:
    return DatasetStatus(word).status_class is StatusClass.FAILED
