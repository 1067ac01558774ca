"""Datasets, transactions and how their status goes on with time."""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vl_ingest.sandbox.rules import Processing
from vl_ingest.sandbox.works import ADDITION, CREATION, LAST_STEP, REINDEX, Work, creation_task, derived

FIRST_TRANSACTION = 3610
OLD_WORDS = {
    "DRAFT": "NEW",
    "INDEXING": "INDEXING",
    "READY": "READY",
    "ERROR": "FATAL_ERROR",
    "READ ONLY": "ENRICHING",
    "PARTIAL INDEX": "READY",
}
PRE_PROCESSING_UNTIL = 25  # percent; the old words name the beginning of processing apart
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
VIDEOS = frozenset({".mp4", ".mov"})

Group = int | str  # files that are processed together: a transaction, or the task of an addition


def extension(name: str) -> str:
    """Return a file name's extension as IMAGES and VIDEOS write it."""
    return os.path.splitext(name)[1].lower()


class Refusal(Exception):
    """The server says no: an HTTP status and its `detail`."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


@dataclass
class Dataset:
    """One dataset, what it was sent, and what was done with it."""

    id: str
    name: str
    created_at: str
    transactions: set[int] = field(default_factory=set)
    files: Counter[Group] = field(default_factory=Counter)
    videos: Counter[Group] = field(default_factory=Counter)
    wrong: Counter[tuple[Group, bool]] = field(
        default_factory=Counter
    )  # by (group, is a video): too many, too few
    names: set[tuple[Group, str]] = field(default_factory=set)
    triggered: set[int] = field(default_factory=set)
    works: list[Work] = field(default_factory=list)  # in order of their beginnings

    def work(self, now: float) -> Work | None:
        """Return the work that was begun last."""
        return next((work for work in reversed(self.works) if work.began <= now), None)

    def groups(self, now: float) -> set[Group]:
        """Return the groups of files that have been processed."""
        creations = [work for work in self.works if work.type == CREATION and work.began <= now]
        done: set[Group] = set(self.triggered) if creations and creations[-1].done(now) else set()
        return done | {work.task_id for work in self.works if work.type == ADDITION and work.done(now)}


class Store:
    """All datasets, rebuilt from a record's entries."""

    def __init__(
        self, processing: Processing, clock: Callable[[], float], entries: Iterable[dict[str, Any]]
    ) -> None:
        self._processing = processing
        self.replaces = processing.replaces
        self.clock = clock
        self._datasets: dict[str, Dataset] = {}
        self._next_transaction = FIRST_TRANSACTION
        replay(self.apply, entries)

    def apply(self, entry: dict[str, Any], age_s: float = 0.0) -> None:
        """Take up one entry of the record, which was written `age_s` ago: processing outlives a restart."""
        kind, began = entry["kind"], self.clock() - age_s
        if kind == "dataset_created":
            made = Dataset(entry["dataset_id"], entry["name"], entry["at"])
            self._datasets[made.id] = made
        dataset = self._datasets.get(entry.get("dataset_id", ""))
        if dataset is None:
            return
        if kind == "transaction_opened":
            dataset.transactions.add(entry["transaction_id"])
            self._next_transaction = max(self._next_transaction, entry["transaction_id"] + 1)
        elif kind == "batch_accepted":
            dataset.files[entry["transaction_id"]] += entry["files"]
        elif kind == "file_received":
            self._receive(dataset, group(entry), entry["name"])
        elif kind in ("medium_swallowed", "medium_doubled"):
            change = 1 if kind == "medium_doubled" else -1
            dataset.wrong[group(entry), extension(entry["name"]) in VIDEOS] += change
        elif kind == "task_aborted":
            self.find(entry["task_id"])[1].aborted = began
        elif kind == "dataset_deleted":
            del self._datasets[dataset.id]
        else:
            self._begin(dataset, entry, began)

    def _receive(self, dataset: Dataset, where: Group, name: str) -> None:
        """Take up a file."""
        is_video = extension(name) in VIDEOS
        dataset.videos[where] += is_video
        if self.replaces and (where, name) in dataset.names:
            dataset.wrong[where, is_video] -= 1
        dataset.names.add((where, name))

    def _begin(self, dataset: Dataset, entry: dict[str, Any], began: float) -> None:
        """Begin the work that an entry says was accepted."""
        kind = entry["kind"]
        if kind == "trigger_accepted":
            dataset.triggered.add(entry["transaction_id"])
            self._begin_creation(dataset, entry, began)
        elif kind == "retry_accepted":
            self._begin_creation(dataset, entry, began)
        elif kind == "addition_accepted":
            dataset.files[entry["task_id"]] += entry["files"]
            work = self._begin_addition(dataset, entry, began)
            if entry["auto_reindex"] and work.failure is None:
                task_id = derived("reindex", work.task_id)
                self._begin_reindex(dataset, {**entry, "task_id": task_id}, work.end, work.ended_at)
        elif kind == "reindex_accepted":
            self._begin_reindex(dataset, entry, began, datetime.fromisoformat(entry["at"]))

    def _begin_creation(self, dataset: Dataset, entry: dict[str, Any], began: float) -> None:
        times = self._processing
        failure = entry.get("failure", times.error)
        dataset.works.append(
            Work(
                creation_task(dataset.id), CREATION, began, datetime.fromisoformat(entry["at"]),
                before=self._word_at(dataset, began), lag_s=times.draft_s, phases=(("INDEXING", times.indexing_s),),
                after="READY", after_failure="ERROR", failure=failure,
            )
        )  # fmt: skip

    def _begin_addition(self, dataset: Dataset, entry: dict[str, Any], began: float) -> Work:
        seconds = entry.get("seconds")
        before = self._word_at(dataset, began)
        work = Work(
            entry["task_id"], ADDITION, began, datetime.fromisoformat(entry["at"]), before=before,
            lag_s=self._processing.draft_s if seconds is None else 0.0,
            phases=(("READ ONLY", self._processing.adding_s if seconds is None else seconds),),
            after="PARTIAL INDEX", after_failure=before, failure=entry.get("failure"), by=entry.get("by"),
        )  # fmt: skip
        dataset.works.append(work)
        return work

    def _begin_reindex(
        self, dataset: Dataset, entry: dict[str, Any], began: float, began_at: datetime
    ) -> None:
        half_s = self._processing.reindexing_s / 2
        dataset.works.append(
            Work(
                entry["task_id"], REINDEX, began, began_at, before="PARTIAL INDEX", lag_s=0.0,
                phases=(("READ ONLY", half_s), ("INDEXING", half_s)), after="READY", after_failure="PARTIAL INDEX",
                failure=entry.get("reindex_failure"), by=entry.get("by"),
            )
        )  # fmt: skip

    def has(self, dataset_id: str, transaction_id: int | None = None) -> bool:
        """Return whether a dataset, and a transaction of it, are known."""
        dataset = self._datasets.get(dataset_id)
        return dataset is not None and (transaction_id is None or transaction_id in dataset.transactions)

    def datasets(self) -> Iterator[Dataset]:
        """Yield every dataset, the newest first."""
        yield from reversed(self._datasets.values())

    def dataset(self, dataset_id: str) -> Dataset:
        """Return a dataset, or refuse."""
        try:
            return self._datasets[dataset_id]
        except KeyError:
            raise Refusal(404, "Dataset not found.") from None

    def find(self, task_id: str) -> tuple[Dataset, Work]:
        """Return a task's dataset and what it does, or refuse."""
        for dataset in self._datasets.values():
            for work in reversed(dataset.works):
                if work.task_id == task_id:
                    return dataset, work
        raise Refusal(404, "Task not found.")

    def new_dataset(self, name: str) -> dict[str, Any]:
        """Return the entry that makes a dataset."""
        return {"kind": "dataset_created", "dataset_id": str(uuid.uuid4()), "name": name}

    def new_transaction(self, dataset_id: str) -> dict[str, Any]:
        """Return the entry that opens a transaction."""
        self.dataset(dataset_id)
        return {
            "kind": "transaction_opened",
            "dataset_id": dataset_id,
            "transaction_id": self._next_transaction,
        }

    def check_upload(self, dataset_id: str, transaction_id: int) -> None:
        """Refuse an upload to where none may go."""
        if transaction_id in self._with(dataset_id, transaction_id).triggered:
            raise Refusal(409, "The transaction has been processed already.")

    def trigger(self, dataset_id: str, transaction_id: int) -> dict[str, Any]:
        """Return the entry that starts processing."""
        dataset = self._with(dataset_id, transaction_id)
        if transaction_id in dataset.triggered:
            raise Refusal(409, "The transaction has been processed already.")
        if not dataset.files[transaction_id]:
            raise Refusal(400, "The transaction holds no files.")
        return {"kind": "trigger_accepted", "dataset_id": dataset_id, "transaction_id": transaction_id}

    def retry(self, task_id: str) -> dict[str, Any]:
        """Return the entry that starts processing again."""
        dataset, work = self.find(task_id)
        if work.type != CREATION or work.status(self.clock()) not in ("FAILED", "ABORTED"):
            raise Refusal(400, "The task can't be retried.")
        return {"kind": "retry_accepted", "dataset_id": dataset.id, "task_id": task_id}

    def abort(self, task_id: str) -> dict[str, Any]:
        """Return the entry that ends processing."""
        dataset, work = self.find(task_id)
        now = self.clock()
        if work.type != CREATION or work.over(now) or work.progress(now) >= LAST_STEP:
            raise Refusal(409, "The task can't be aborted any more.")
        return {"kind": "task_aborted", "dataset_id": dataset.id, "task_id": task_id}

    def check_addition(self, dataset_id: str) -> None:
        """Refuse an addition that can't be made now."""
        self._check_idle(dataset_id, "READY", "PARTIAL INDEX")

    def check_reindex(self, dataset_id: str) -> None:
        """Refuse a reindex that can't be made now."""
        self._check_idle(dataset_id, "PARTIAL INDEX")

    def word(self, dataset_id: str) -> str:
        """Return a dataset's status as the newer field gives it."""
        return self._word(self.dataset(dataset_id))[0]

    def status(self, dataset_id: str) -> dict[str, Any]:
        """Return the documented fields of a dataset as they are now."""
        dataset = self.dataset(dataset_id)
        word, progress = self._word(dataset)
        work = dataset.work(self.clock())
        old = OLD_WORDS[word]
        if word == "INDEXING" and progress < PRE_PROCESSING_UNTIL and (work is None or work.type == CREATION):
            old = "PRE_PROCESSING"
        images, videos = self._counts(dataset)
        facts: dict[str, Any] = {
            "id": dataset.id,
            "display_name": dataset.name,
            "status_new": word,
            "status": old,
            "progress": progress,
            "n_images": images,
            "n_videos": videos,
            "n_objects": 0,
            "fatal_error_msg": work.message(self.clock()) if word == "ERROR" and work is not None else None,
            "created_at": dataset.created_at,
            "source_type": "LOCAL",
        }
        if self._processing.old_statuses:
            del facts["status_new"]
        return facts

    def _counts(self, dataset: Dataset) -> tuple[int, int]:
        """Return how many images and videos have been processed."""
        images = videos = 0
        for key in dataset.groups(self.clock()):
            videos += dataset.videos[key] + dataset.wrong[key, True]
            images += dataset.files[key] - dataset.videos[key] + dataset.wrong[key, False]
        return images, videos

    def _word(self, dataset: Dataset) -> tuple[str, int]:
        work = dataset.work(self.clock())
        if work is None:
            return "DRAFT", 0
        return work.word(self.clock()), work.progress(self.clock())

    def _word_at(self, dataset: Dataset, now: float) -> str:
        work = dataset.work(now)
        return "DRAFT" if work is None else work.word(now)

    def _check_idle(self, dataset_id: str, *words: str) -> None:
        dataset, now = self.dataset(dataset_id), self.clock()
        word = self.word(dataset_id)
        if word not in words:
            raise Refusal(409, f"The dataset is {word}; it has to be {' or '.join(words)}.")
        if any(not work.over(now) for work in dataset.works):
            raise Refusal(409, "Another update of the dataset is running.")

    def _with(self, dataset_id: str, transaction_id: int) -> Dataset:
        dataset = self.dataset(dataset_id)
        if transaction_id not in dataset.transactions:
            raise Refusal(404, "Transaction not found.")
        return dataset


def group(entry: dict[str, Any]) -> Group:
    """Return the group of files that an entry is about."""
    key: Group | None = entry.get("transaction_id")
    return entry["task_id"] if key is None else key


def replay(apply: Callable[[dict[str, Any], float], None], entries: Iterable[dict[str, Any]]) -> None:
    """Let `apply` take up every entry of a record, with its age in seconds."""
    now = datetime.now(UTC)
    for entry in entries:
        apply(entry, (now - datetime.fromisoformat(entry["at"])).total_seconds())
