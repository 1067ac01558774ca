"""The server's side of a job at this moment: what it says of the dataset, and of its tasks. Nothing is recorded."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vl_ingest.domain import words
from vl_ingest.domain.errors import Denied, GaveUp, Refused, RequestError
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.domain.remote import Task

if TYPE_CHECKING:
    from vl_ingest.server.api import Api


@dataclass(frozen=True)
class Live:
    """What the server says; `no_status` and `no_tasks` say why it does not."""

    status: DatasetStatus | None
    tasks: tuple[Task, ...]
    no_status: str | None = None
    no_tasks: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "status": None if self.status is None else asdict(self.status),
            "tasks": None if self.no_tasks else [asdict(task) for task in self.tasks],
            "no_status": self.no_status,
            "no_tasks": self.no_tasks,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        if self.status is None:
            return [f"  server now    {self.no_status}"]
        status = self.status
        percent = "" if status.progress is None else f", {status.progress:.0f} %"
        message = f": {status.message}" if status.message else ""
        counted = f"; {status.n_images or 0:,} images, {status.n_videos or 0:,} videos"
        lines = [f"  server now    {status.word}{percent}{message}{counted}"]
        if self.no_tasks:
            return [*lines, f"  tasks         not available ({self.no_tasks})"]
        return [*lines, *(f"  task          {_task(task)}" for task in self.tasks or ())] + (
            [] if self.tasks else ["  tasks         none"]
        )


def look(api: "Api", dataset_id: str) -> Live:
    """Ask the server for a dataset's status and tasks. Raises `GaveUp` where it gives no answer."""
    from vl_ingest.server.optional import Extras

    try:
        status = api.dataset_status(dataset_id)
    except Denied as exc:
        return Live(None, (), f"no dataset {dataset_id} for you ({words.clause(exc)})", "there is no dataset")
    except RequestError as exc:
        raise GaveUp(f"Could not read the dataset's status: {exc}. Try again, or leave out --live.") from exc
    try:
        tasks = Extras.beside(api).tasks(dataset_id).tasks
    except (RequestError, Refused) as exc:
        return Live(status, (), no_tasks=words.clause(exc))
    return Live(status, tuple(task for task in tasks if task.dataset_id == dataset_id))


def _task(task: Task) -> str:
    """Return one task in words."""
    percent = "" if task.progress is None else f", {task.progress:.0f} %"
    times = " to ".join(_short(moment) for moment in (task.start_time, task.end_time) if moment)
    why = task.error or task.message
    return f"{task.type} {task.status}{percent}{f', {times}' if times else ''}{f': {why}' if why else ''}"


def _short(moment: str) -> str:
    return moment[:19].replace("T", " ")
