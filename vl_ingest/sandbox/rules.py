"""What this server insists on, how long its work takes, and what it can be asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FEATURES = ("list", "health", "creation-status", "tasks", "export-ids", "export", "add", "reindex", "delete", "metadata")  # fmt: skip
TASKS = {
    "trigger": "the task of a dataset's creation appears with the trigger",
    "create": "it appears with the dataset",
    "waiting": "it appears with the dataset, and says INITIALIZING whatever happens; so do all others",
    "never": "there are none",
}
FRAME_FOLDERS = ("name", "stem")


@dataclass(frozen=True)
class Rules:
    """What the server insists on, and which of its optional parts are there."""

    credentials: tuple[str, str] | None = None  # API key and secret; None: on-premises, no header wanted
    max_request_bytes: int | None = None
    check_images: bool = True
    keep_files: bool = False
    without: frozenset[str] = frozenset()  # of FEATURES; they are answered with 404
    tasks: str = "trigger"  # a key of TASKS
    tasks_lag_s: float = 0.0  # tasks are shown as they were so long ago
    list_drafts: bool = True
    frame_folder: str = "name"  # a video's frames lie below its name, or its name without extension


@dataclass(frozen=True)
class Processing:
    """How long work takes, in seconds, and how processing ends.

    `draft_s` is how long the status stays as it was after work was accepted: DRAFT after the trigger.
    """

    draft_s: float = 0.0
    indexing_s: float = 0.0
    error: Any = None
    old_statuses: bool = False
    adding_s: float = 0.0
    reindexing_s: float = 0.0
    exporting_s: float = 0.0
    values_s: float = 0.0
    replaces: bool = False  # a second file of a name in one transaction takes the place of the first, as in an object store


def parse_without(texts: Iterable[str]) -> frozenset[str]:
    """Return the features that `tasks,export` name. Raises `ValueError` with a sentence for an unknown one."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*FEATURES, "all"):
            raise ValueError(f"Unknown feature: {name!r}. There are {', '.join(FEATURES)}, and all.")
    return frozenset(FEATURES if "all" in names else names)
