"""The server's tasks: what it works on, and what can be done about it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry, Happens
from vl_ingest.sandbox.rules import Rules
from vl_ingest.sandbox.store import Dataset, Refusal, Store
from vl_ingest.sandbox.works import CREATION, METADATA, Work, creation_task

SMALLEST_PAGE, LARGEST_PAGE = 5, 50
SOMEBODY = "sandbox@example.com"
Extra = Callable[
    [str], Iterator[tuple[str, Work | None, str]]
]  # a dataset's other tasks: id, work, when made


class Tasks:
    """The tasks of all datasets. `others` yields the tasks that do not change a dataset's status."""

    def __init__(self, store: Store, rules: Rules, happens: Happens, others: Extra) -> None:
        self._store = store
        self._rules = rules
        self._happens = happens
        self._others = others

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        task = "/api/v1/tasks/{task}"
        return [
            Endpoint("tasks", "GET", "/api/v1/tasks", 200, self._list, feature="tasks"),
            Endpoint("retry", "POST", f"{task}/retry", 200, self._retry, feature="tasks"),
            Endpoint("abort", "POST", f"{task}/abort", 200, self._abort, feature="tasks"),
        ]

    def _list(self, call: Call) -> tuple[list[Entry], Any]:
        page, size = _whole(call, "page", 1), _whole(call, "page_size", 10)
        if page < 1 or not SMALLEST_PAGE <= size <= LARGEST_PAGE:
            raise Refusal(
                422, [{"loc": ["query", "page_size"], "msg": "out of range", "type": "value_error"}]
            )
        found = [task for task in self._all() if _wanted(task, call)]
        sort_by = call.query("sort_by", "start_time")
        if found and sort_by not in found[0]:
            raise Refusal(422, [{"loc": ["query", "sort_by"], "msg": "unknown field", "type": "value_error"}])
        found.sort(key=lambda task: str(task[sort_by]), reverse=call.query("sort_order", "desc") == "desc")
        shown = found[(page - 1) * size : page * size]
        return [], {"tasks": shown, "total": len(found), "page": page, "page_size": size}

    def _retry(self, call: Call) -> tuple[list[Entry], Any]:
        entry = self._store.retry(call.request.path_params["task"])
        if (fault := self._happens("processing", "")) is not None:
            entry["failure"] = fault.message
        return [entry], self._changed(entry["task_id"], "INITIALIZING")

    def _abort(self, call: Call) -> tuple[list[Entry], Any]:
        entry = self._store.abort(call.request.path_params["task"])
        return [entry], self._changed(entry["task_id"], "ABORTED")

    def _changed(self, task_id: str, status: str) -> dict[str, Any]:
        dataset, work = self._store.find(task_id)
        ended_at = datetime.now(UTC).isoformat() if status == "ABORTED" else None
        return {**self._task(dataset, work, self._store.clock()), "status": status, "end_time": ended_at}

    def _all(self) -> Iterator[dict[str, Any]]:
        """Yield every task, the newest first, as it was `tasks_lag_s` ago."""
        if self._rules.tasks == "never":
            return
        now = self._store.clock() - self._rules.tasks_lag_s
        for dataset in self._store.datasets():
            newest: dict[str, Work] = {work.task_id: work for work in dataset.works if work.began <= now}
            if self._rules.tasks != "trigger" and creation_task(dataset.id) not in newest:
                yield self._waiting(dataset, creation_task(dataset.id), CREATION, dataset.created_at)
            yield from (self._task(dataset, work, now) for work in newest.values())
            for task_id, work, made_at in self._others(dataset.id):
                if work is None:
                    yield self._waiting(dataset, task_id, METADATA, made_at)
                else:
                    yield self._task(dataset, work, now)

    def _task(self, dataset: Dataset, work: Work, now: float) -> dict[str, Any]:
        began_at = work.began_at.isoformat()
        if work.type == CREATION and self._rules.tasks != "trigger":
            began_at = dataset.created_at
        waiting = self._waiting(dataset, work.task_id, work.type, began_at)
        if self._rules.tasks == "waiting":
            return waiting
        return {
            **waiting,
            "created_by": work.by or SOMEBODY,
            "status": work.status(now),
            "progress_percentage": work.progress(now),
            "error_message": work.message(now),
            "end_time": work.ended_at.isoformat() if work.over(now) else None,
        }

    def _waiting(self, dataset: Dataset, task_id: str, kind: str, began_at: str) -> dict[str, Any]:
        """Return a task that has not begun."""
        return {
            "task_id": task_id,
            "dataset_id": dataset.id,
            "dataset_name": dataset.name,
            "dataset_status": self._store.word(dataset.id),
            "created_by": SOMEBODY,
            "task_type": kind,
            "status": "INITIALIZING",
            "status_message": None,
            "progress_percentage": None,
            "error_message": None,
            "start_time": began_at,
            "end_time": None,
        }


def _wanted(task: dict[str, Any], call: Call) -> bool:
    for parameter, name in (
        ("dataset_id", "dataset_id"),
        ("task_type", "task_type"),
        ("task_status", "status"),
    ):
        if call.query(parameter) and task[name] not in call.request.query_params.getlist(parameter):
            return False
    started = datetime.fromisoformat(task["start_time"])
    first, last = _moment(call, "start_time_from"), _moment(call, "start_time_to")
    return (first is None or started >= first) and (last is None or started <= last)


def _moment(call: Call, name: str) -> datetime | None:
    text = call.query(name).replace(" ", "+")  # a plus sign that was not quoted
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError as exc:
        raise Refusal(422, [{"loc": ["query", name], "msg": str(exc), "type": "value_error"}]) from exc
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query(name, str(default))
    if not text.isdecimal():
        raise Refusal(422, [{"loc": ["query", name], "msg": "not a whole number", "type": "int_parsing"}])
    return int(text)
