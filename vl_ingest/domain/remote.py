"""What the server says of its own side: tasks, lists, exports, custom metadata. Its words stay verbatim.

Source: the vendor's public pages and its public Python SDK, as of November 2026. None of it has to be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple


class TaskType(StrEnum):
    """The types of tasks that are ours to read; the server has more."""

    CREATION = "DATASET_CREATION"
    ADDITION = "MEDIA_ADDITION"
    REINDEX = "REINDEX"
    METADATA = "CUSTOM_METADATA"


TASK_BEGUN = frozenset({"RUNNING", "COMPLETED", "FAILED"})  # statuses that prove that the work began
TASK_OVER = frozenset({"COMPLETED", "FAILED", "ABORTED"})


@dataclass(frozen=True)
class Task:
    """A piece of the server's work. `progress` is 0 to 100; times are the server's text."""

    id: str
    dataset_id: str | None
    type: str
    status: str
    progress: float | None = None
    message: str | None = None
    error: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    created_by: str | None = None

    @property
    def began_at(self) -> datetime | None:
        """The start as a moment, by the server's clock; None for what can't be read as one. No zone: UTC."""
        try:
            moment = datetime.fromisoformat(self.start_time or "")
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class TaskPage:
    """One page of tasks, the newest first; `total` of all pages, where the server says it."""

    tasks: tuple[Task, ...]
    total: int | None
    page: int


@dataclass(frozen=True)
class ListedDataset:
    """A dataset in the server's list."""

    id: str
    name: str | None
    status: str | None
    created_at: str | None


@dataclass(frozen=True)
class ExportStatus:
    """How far an export is. `uri` is where it lies once it is `COMPLETED`: a credential where it is signed."""

    status: str
    progress: float | None = None
    uri: str | None = None
    count: int | None = None
    message: str | None = None

    def __repr__(self) -> str:
        return f"ExportStatus({self.status!r}, progress={self.progress})"


@dataclass(frozen=True)
class FieldStatus:
    """How far the task of a custom metadata field is."""

    status: str
    progress: float | None = None
    inserted: int | None = None
    errors: int | None = None
    samples: tuple[str, ...] = ()


class MediumKind(StrEnum):
    """What a listed medium is."""

    IMAGE = "image"
    FRAME = "video_frame"
    UNKNOWN = "unknown"  # the CSV of ids does not say


class ListedMedium(NamedTuple):
    """One medium that the server lists in a dataset; there may be millions.

    `path` is as the server writes it (of a frame `VIDEO/output_000001.jpg`), `name` its last part or the server's own.
    """

    name: str
    media_id: str
    path: str
    kind: str

    @property
    def video(self) -> str | None:
        """What the server calls the video that a frame is of; None for other media."""
        return self.path.rpartition("/")[0] or None if self.kind == MediumKind.FRAME else None


Values = Mapping[str, str]  # media id -> value
LONGEST_VALUE = 255  # characters of a custom metadata value
