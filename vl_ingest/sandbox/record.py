"""What arrived: an append-only record in memory and, line by line, on disk.

Kinds of entries: `dataset_created`, `transaction_opened`, `file_received`, `batch_accepted`, `trigger_accepted`,
`retry_accepted`, `task_aborted`, `addition_accepted`, `reindex_accepted`, `export_started`, `field_created`,
`values_accepted`, `dataset_deleted`, `medium_swallowed`, `medium_doubled`, and `request` (every answer, or its
lack). A sandbox that starts on the same folder goes on where the last one ended.
"""

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE_NAME = "record.jsonl"


@dataclass(frozen=True)
class Arrival:
    """One file in a batch, or an addition (`transaction_id` is None), that was accepted."""

    dataset_id: str
    transaction_id: int | None
    request: int
    name: str
    size_bytes: int
    sha256: str
    at: str


class Record:
    """The record of one sandbox; safe to read while the server works."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.path = root / FILE_NAME
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []
        self._file = self.path.open("ab")
        try:
            self._file.truncate(self._read())
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def append(self, *entries: dict[str, Any]) -> None:
        """Add entries together, with the time."""
        at = datetime.now(UTC).isoformat()
        for entry in entries:
            entry["at"] = at
        lines = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        with self._lock:
            self._file.write(lines)
            self._file.flush()
            self._entries.extend(entries)

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the entries of these kinds, or all, in order."""
        with self._lock:
            return [entry for entry in self._entries if not kinds or entry["kind"] in kinds]

    def files(self, dataset_id: str | None = None) -> list[Arrival]:
        """Return every file that was accepted, in order."""
        fields = Arrival.__dataclass_fields__
        return [
            Arrival(**{field: entry[field] for field in fields})
            for entry in self.entries("file_received")
            if dataset_id in (None, entry["dataset_id"])
        ]

    def triggers_accepted(self, dataset_id: str | None = None) -> int:
        """Return how often processing was started."""
        return self._count("trigger_accepted", dataset_id)

    def retries_accepted(self, dataset_id: str | None = None) -> int:
        """Return how often processing was started again."""
        return self._count("retry_accepted", dataset_id)

    def aborts_accepted(self, dataset_id: str | None = None) -> int:
        """Return how often processing was aborted."""
        return self._count("task_aborted", dataset_id)

    def additions_accepted(self, dataset_id: str | None = None) -> int:
        """Return how often media were added, by somebody else not counted."""
        return self._count("addition_accepted", dataset_id)

    def reindexes_accepted(self, dataset_id: str | None = None) -> int:
        """Return how often a reindex was asked for, by itself or with an addition."""
        with_additions = [e for e in self.entries("addition_accepted") if e["auto_reindex"] and "by" not in e]
        return self._count("reindex_accepted", dataset_id) + sum(
            dataset_id in (None, entry["dataset_id"]) for entry in with_additions
        )

    def exports_started(self, dataset_id: str | None = None) -> int:
        """Return how often an export was started."""
        return self._count("export_started", dataset_id)

    def values(self, dataset_id: str) -> dict[str, dict[str, str]]:
        """Return the custom metadata of a dataset: field -> media id -> value."""
        found: dict[str, dict[str, str]] = {}
        for entry in self.entries("values_accepted"):
            if entry["dataset_id"] == dataset_id:
                found.setdefault(entry["field_name"], {}).update(entry["values"])
        return found

    def requests(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Return every request, or those of one endpoint."""
        return [entry for entry in self.entries("request") if endpoint in (None, entry["endpoint"])]

    def datasets(self) -> list[str]:
        """Return the ids of all datasets."""
        return [entry["dataset_id"] for entry in self.entries("dataset_created")]

    def transactions(self) -> list[int]:
        """Return the ids of all transactions."""
        return [entry["transaction_id"] for entry in self.entries("transaction_opened")]

    def last_request(self) -> int:
        """Return the highest number of a request, also of one whose own entry a death prevented."""
        return max((e.get("number", e.get("request", 0)) for e in self.entries()), default=0)

    def _count(self, kind: str, dataset_id: str | None) -> int:
        """Count the entries that are about a dataset, or about any, and were not caused by somebody else."""
        return sum(dataset_id in (None, e["dataset_id"]) and "by" not in e for e in self.entries(kind))

    def _read(self) -> int:
        """Read what an earlier sandbox wrote; return how many bytes of it count.

        One that was killed may have left a torn line, or files of a batch whose acceptance it no longer
        wrote: both are forgotten, as nothing was answered to them.
        """
        counted = end = 0
        kept = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                self._entries.append(json.loads(line))
                if self._entries[-1]["kind"] != "file_received":
                    counted, kept = end, len(self._entries)
        del self._entries[kept:]
        return counted
