"""Reading what the server shows of the dataset: its status, through outages, and its tasks, where they can be had."""

from vl_ingest.additions.evidence import Sight
from vl_ingest.domain.errors import Conflict
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.domain.remote import Task
from vl_ingest.processing.evidence import TASKS
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status

BRIDGED = 5  # readings in a row


class Looker:
    """Looks at the dataset of a run's job; `asking` asks for what is optional."""

    def __init__(self, context: Context) -> None:
        self.asking = context.asking
        self._context = context
        self._dataset_id = context.dataset_id
        self._tasks: list[Task] | None = None  # as last read
        self._misses = 0  # since then

    def look(self) -> tuple[Sight, DatasetStatus]:
        """Return what the server shows now, and its status in full.

        The tasks are read first: an addition that begins in between shows in the status alone, as somebody else's would.
        """
        tasks = self._newest_tasks()
        status = read_status(self._context)
        return Sight.of(status, tasks), status

    def _newest_tasks(self) -> list[Task] | None:
        """Return the newest tasks of the dataset; None where they can't be had.

        A few readings that fail are bridged by the last one: what comes and goes would look like a change each time.
        """
        if self._misses > BRIDGED:
            return None
        read = self._read_tasks()
        if read is None:
            self._misses += 1
        else:
            self._tasks, self._misses = read, 0
        return self._tasks if self._misses <= BRIDGED else None

    def _read_tasks(self) -> list[Task] | None:
        try:
            page = self.asking.read(TASKS, lambda: self.asking.extras.tasks(self._dataset_id))
        except Conflict:
            return None
        if page is None:
            return None
        return [task for task in page.tasks if task.dataset_id in (None, self._dataset_id)]
