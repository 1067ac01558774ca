"""What the server says of its own side: tasks, lists, exports, custom metadata. Its words stay verbatim.

Source: the vendor's public pages and its public Python SDK, as of November 2026. None of it has to be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from vl_ingest.domain.naming import files_text


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
        """The start as a moment, by the server's clock."""
        return moment(self.start_time)


def moment(text: str | None) -> datetime | None:
    """Return a moment as the server writes it, by its clock; None for what can't be read as one. No zone: UTC."""
    if text is None or len(text) <= len("2026-01-31"):  # a day is no moment
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


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


@dataclass
class Listed:
    """What the server's own list of a dataset comes to, held against the files that were sent.

    `items` are the media that it names; `files` those of ours that it has, `twice` more than once; `missing` those that it
    has not; `unclear` those of which it can't say; `unexpected` what it names and this job did not send. `digest` is the
    SHA-256 of the list as it was received.
    """

    by: str
    digest: str
    items: int = 0
    files: int = 0
    missing: int = 0
    twice: int = 0
    unexpected: int = 0
    unclear: int = 0

    @property
    def whole(self) -> bool:
        """Whether every file is there, each once, and nothing else is, as far as the list can say."""
        return not (self.missing or self.twice or self.unexpected)

    def __str__(self) -> str:
        """The same as a sentence, without its full stop."""
        if self.whole:
            each = "" if not self.files else ", once" if self.files == 1 else ", each once"
            text = f"{files_text(self.files)} in the dataset by the server's own list{each}"
        else:
            wrong = {
                "missing": self.missing, "there more than once": self.twice, "there but not sent by this job": self.unexpected,
            }  # fmt: skip
            told = ", ".join(f"{count:,} {what}" for what, count in wrong.items() if count)
            text = f"{files_text(self.files)} in the dataset by the server's own list; {told}"
        if self.unclear:
            text += f"; of {self.unclear:,} videos the list does not say whether they are there"
        return text


def in_dataset(listed: int | None) -> str | None:
    """Return what the server's list says of a file: `yes`, `no`, `twice` (or more often); None: not asked, or it can't say."""
    return None if listed is None else "no" if not listed else "yes" if listed == 1 else "twice"


def doubt(*, possibly_twice: bool, in_dataset: str | None) -> str | None:
    """Return in words what is known of how often a file is there: `possibly twice`, `asked: once`, `asked: twice`."""
    if possibly_twice:
        asked = {"yes": "asked: once", "no": "asked: missing from the dataset", "twice": "asked: twice"}
        return asked.get(in_dataset or "", "possibly twice")
    return {"no": "missing from the dataset", "twice": "twice in the dataset"}.get(in_dataset or "")


Values = Mapping[str, str]  # media id -> value
LONGEST_VALUE = 255  # characters of a custom metadata value
