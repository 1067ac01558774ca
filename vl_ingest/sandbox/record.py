"""What arrived: an append-only record in memory and, line by line, on disk.

Kinds of entries: `dataset_created`, `transaction_opened`, `file_received`, `batch_accepted`,
`trigger_accepted` and `request` (every answer, or its lack). A sandbox that starts on the same folder goes on
where the last one ended.
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
    """One file in a batch that was accepted."""

    dataset_id: str
    transaction_id: int
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
        return sum(dataset_id in (None, e["dataset_id"]) for e in self.entries("trigger_accepted"))

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
