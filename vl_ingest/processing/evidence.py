"""What the server's tasks prove about processing: that it began, never that it did not.

Source: the vendor's public pages. When the task of a dataset's creation appears, with the dataset or with the trigger, is
unknown: that there is one proves nothing. One in `RUNNING`, `COMPLETED` or `FAILED` where none was before does, and so
does one that started after the trigger's intent. Clocks of two machines are never compared: by the server's own clock
the task has to have started at least as long after the dataset was made as our intent came after its receipt.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from vl_ingest.domain.errors import Conflict
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.domain.remote import TASK_BEGUN, Task, TaskType, moment
from vl_ingest.run.asking import Asking
from vl_ingest.run.context import Context
from vl_ingest.server.optional import LARGEST_PAGE

TASKS = "the list of tasks"
MOST_PAGES = 4  # of tasks of one dataset there are few


def creation_tasks(asking: Asking, dataset_id: str) -> list[Task] | None:
    """Return the tasks of a dataset's creation, the newest first; None where they can't be had, or not all of them."""
    found: list[Task] = []
    ask = partial(asking.quick.tasks, dataset_id, task_type=TaskType.CREATION)
    for page in range(1, MOST_PAGES + 1):
        try:
            shown = asking.read(TASKS, partial(ask, page=page))
        except Conflict:
            return None
        if shown is None:
            return None
        found += shown.tasks
        if len(shown.tasks) < LARGEST_PAGE or len(found) >= (shown.total or 0):
            # A server that does not filter shows others, too.
            return [
                task for task in found if task.type == TaskType.CREATION and task.dataset_id == dataset_id
            ]
    return None


def proof(
    before: Mapping[str, str] | None, after: Iterable[Task], made_at: str | None, least: timedelta | None
) -> Task | None:
    """Return the task that proves that processing began; None where none does.

    `before` are the tasks from before the intent, id -> status; None where nobody knows. `made_at` is when the dataset
    was made, by the server's clock, and `least` the time between the receipt of that and the intent, by ours.
    """
    if before is None:
        return None
    for task in after:
        was = before.get(task.id)
        begun_now, begun_then = task.status.upper() in TASK_BEGUN, (was or "").upper() in TASK_BEGUN
        if begun_now and not begun_then:
            return task
        if was is None and _started_since(task, made_at, least):
            return task
    return None


def _started_since(task: Task, made_at: str | None, least: timedelta | None) -> bool:
    made, began = moment(made_at), moment(task.start_time)
    if made is None or began is None or least is None or least <= timedelta(0):
        return False
    if not made.microsecond:  # perhaps cut to whole seconds
        made += timedelta(seconds=1)
    return began - made >= least


@dataclass(frozen=True)
class Evidence:
    """What is known from before the trigger's intent, to hold the server's tasks against."""

    context: Context
    before: Mapping[str, str] | None
    least: timedelta | None

    @classmethod
    def of(cls, context: Context) -> "Evidence":
        """Return what was known before the first intent since the last file was sent.

        A trigger that was settled as not begun may have begun after all: every one since then is about the same files.
        """
        events, job_id = context.ledger.events, context.job.id
        made = events.last(job_id, EventKind.DATASET_CREATED)
        sent = events.last(job_id, EventKind.BATCH_SENT, EventKind.FILES_SETTLED_BY_HAND)
        after = 0 if sent is None else sent.number
        for intent in events.history(job_id, EventKind.TRIGGER_INTENDED, after=after):
            if "tasks" in intent.facts:
                same_clock = made is not None and made.host == intent.host
                least = intent.at - made.at if made is not None and same_clock else None
                return cls(context, intent.facts["tasks"], least)
        return cls(context, None, None)

    @property
    def can_come(self) -> bool:
        """Whether a task may still prove something."""
        return self.before is not None and TASKS not in self.context.asking.missing

    def proof(self, status: DatasetStatus, after: Iterable[Task] | None = None) -> Task | None:
        """Return the task that proves that processing began, of those in `after`, or of those that there are now."""
        if not self.can_come:
            return None
        if after is None:
            after = creation_tasks(self.context.asking, self.context.dataset_id)
        return None if after is None else proof(self.before, after, status.created_at, self.least)
