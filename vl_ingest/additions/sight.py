"""Reading what the server shows of the dataset: its status, through outages, and its tasks, where they can be had."""

from vl_ingest.additions.evidence import Sight
from vl_ingest.domain.errors import Conflict
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.domain.remote import Task
from vl_ingest.processing.evidence import TASKS
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status


class Looker:
    """Looks at the dataset of a run's job; `asking` asks for what is optional."""

    def __init__(self, context: Context) -> None:
        self.asking = context.asking
        self._context = context
        self._dataset_id = context.dataset_id

    def look(self) -> tuple[Sight, DatasetStatus]:
        """Return what the server shows now, and its status in full.

        The tasks are read first: an addition that begins in between shows in the status alone, as somebody else's would.
        """
        tasks = self._tasks()
        status = read_status(self._context)
        return Sight.of(status, tasks), status

    def _tasks(self) -> list[Task] | None:
        """Return the newest tasks of the dataset; None where they can't be had."""
        try:
            page = self.asking.read(TASKS, lambda: self.asking.extras.tasks(self._dataset_id))
        except Conflict:
            return None
        if page is None:
            return None
        return [task for task in page.tasks if task.dataset_id in (None, self._dataset_id)]
