"""Datasets, transactions and how their status goes on with time."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

FIRST_TRANSACTION = 3610
OLD_WORDS = {"DRAFT": "NEW", "INDEXING": "INDEXING", "READY": "READY", "ERROR": "FATAL_ERROR"}


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
    files: int = 0
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
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: dict[str, Any]) -> None:
        """Take up one entry of the record."""
        kind = entry["kind"]
        if kind == "dataset_created":
            dataset = Dataset(entry["dataset_id"], entry["name"], entry["at"])
            self._datasets[dataset.id] = dataset
        elif kind == "transaction_opened":
            self._datasets[entry["dataset_id"]].transactions.add(entry["transaction_id"])
            self._next_transaction = max(self._next_transaction, entry["transaction_id"] + 1)
        elif kind == "batch_accepted":
            self._datasets[entry["dataset_id"]].files += entry["files"]
        elif kind == "trigger_accepted":
            dataset = self._datasets[entry["dataset_id"]]
            dataset.triggered.add(entry["transaction_id"])
            dataset.triggered_at = self._clock()

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
        if not dataset.files:
            raise Refusal(400, "The transaction holds no files.")
        return {"kind": "trigger_accepted", "dataset_id": dataset_id, "transaction_id": transaction_id}

    def status(self, dataset_id: str) -> dict[str, Any]:
        """Return the documented fields of a dataset as they are now."""
        dataset = self._dataset(dataset_id)
        word, progress = self._word(dataset)
        facts: dict[str, Any] = {
            "id": dataset.id,
            "display_name": dataset.name,
            "status_new": word,
            "status": OLD_WORDS[word],
            "progress": progress,
            "n_images": dataset.files if word == "READY" else 0,
            "n_videos": 0,
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
