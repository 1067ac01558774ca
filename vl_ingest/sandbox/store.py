"""Datasets, transactions and how their status goes on with time."""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FIRST_TRANSACTION = 3610
OLD_WORDS = {"DRAFT": "NEW", "INDEXING": "INDEXING", "READY": "READY", "ERROR": "FATAL_ERROR"}
PRE_PROCESSING_UNTIL = 25  # percent; the old words name the beginning of processing apart
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
VIDEOS = frozenset({".mp4", ".mov"})


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
    """One dataset; `triggered_at` is on the store's clock."""

    id: str
    name: str
    created_at: str
    transactions: set[int] = field(default_factory=set)
    files: Counter[int] = field(default_factory=Counter)  # of each transaction
    videos: int = 0
    triggered: set[int] = field(default_factory=set)
    triggered_at: float | None = None


@dataclass(frozen=True)
class Processing:
    """How long the status stays behind the trigger, how long processing takes, and how it ends."""

    draft_s: float = 0.0
    indexing_s: float = 0.0
    error: str | None = None
    old_statuses: bool = False


class Store:
    """All datasets, rebuilt from a record's entries."""

    def __init__(
        self, processing: Processing, clock: Callable[[], float], entries: Iterable[dict[str, Any]]
    ) -> None:
        self._processing = processing
        self._clock = clock
        self._datasets: dict[str, Dataset] = {}
        self._next_transaction = FIRST_TRANSACTION
        now = datetime.now(UTC)
        for entry in entries:
            self.apply(entry, (now - datetime.fromisoformat(entry["at"])).total_seconds())

    def apply(self, entry: dict[str, Any], age_s: float = 0.0) -> None:
        """Take up one entry of the record, which was written `age_s` ago: processing outlives a restart."""
        kind = entry["kind"]
        if kind == "dataset_created":
            dataset = Dataset(entry["dataset_id"], entry["name"], entry["at"])
            self._datasets[dataset.id] = dataset
        elif kind == "transaction_opened":
            self._datasets[entry["dataset_id"]].transactions.add(entry["transaction_id"])
            self._next_transaction = max(self._next_transaction, entry["transaction_id"] + 1)
        elif kind == "batch_accepted":
            self._datasets[entry["dataset_id"]].files[entry["transaction_id"]] += entry["files"]
        elif kind == "file_received":
            self._datasets[entry["dataset_id"]].videos += extension(entry["name"]) in VIDEOS
        elif kind == "trigger_accepted":
            dataset = self._datasets[entry["dataset_id"]]
            dataset.triggered.add(entry["transaction_id"])
            dataset.triggered_at = self._clock() - age_s

    def has(self, dataset_id: str, transaction_id: int | None = None) -> bool:
        """Say whether a dataset, and a transaction of it, are known."""
        dataset = self._datasets.get(dataset_id)
        return dataset is not None and (transaction_id is None or transaction_id in dataset.transactions)

    def new_dataset(self, name: str) -> dict[str, Any]:
        """Return the entry that makes a dataset."""
        return {"kind": "dataset_created", "dataset_id": str(uuid.uuid4()), "name": name}

    def new_transaction(self, dataset_id: str) -> dict[str, Any]:
        """Return the entry that opens a transaction."""
        self._dataset(dataset_id)
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

    def status(self, dataset_id: str) -> dict[str, Any]:
        """Return the documented fields of a dataset as they are now."""
        dataset = self._dataset(dataset_id)
        word, progress = self._word(dataset)
        old = OLD_WORDS[word]
        if word == "INDEXING" and progress < PRE_PROCESSING_UNTIL:
            old = "PRE_PROCESSING"
        files = dataset.files.total() if word == "READY" else 0
        videos = dataset.videos if word == "READY" else 0
        facts: dict[str, Any] = {
            "id": dataset.id,
            "display_name": dataset.name,
            "status_new": word,
            "status": old,
            "progress": progress,
            "n_images": files - videos,
            "n_videos": videos,
            "n_objects": 0,
            "fatal_error_msg": self._processing.error if word == "ERROR" else None,
            "created_at": dataset.created_at,
            "source_type": "LOCAL",
        }
        if self._processing.old_statuses:
            del facts["status_new"]
        return facts

    def _word(self, dataset: Dataset) -> tuple[str, int]:
        if dataset.triggered_at is None:
            return "DRAFT", 0
        working_s = self._clock() - dataset.triggered_at - self._processing.draft_s
        if working_s < 0:
            return "DRAFT", 0
        if working_s < self._processing.indexing_s:
            return "INDEXING", int(100 * working_s / self._processing.indexing_s)
        return ("ERROR", 100) if self._processing.error else ("READY", 100)

    def _dataset(self, dataset_id: str) -> Dataset:
        try:
            return self._datasets[dataset_id]
        except KeyError:
            raise Refusal(404, "Dataset not found.") from None

    def _with(self, dataset_id: str, transaction_id: int) -> Dataset:
        dataset = self._dataset(dataset_id)
        if transaction_id not in dataset.transactions:
            raise Refusal(404, "Transaction not found.")
        return dataset
