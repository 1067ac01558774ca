"""What the server shows of a dataset before and after an addition, and what that proves. Decisions on values.

Somebody else may add media, too: that the status or a task moved proves an addition, and only numbers or names tell whose.
So nothing is decided before the server is idle again, and what does not add up is looked up in the server's own list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from vl_ingest.domain.model import STATUS_CLASSES, DatasetStatus, StatusClass
from vl_ingest.domain.remote import TASK_OVER, Task, TaskType
from vl_ingest.domain.rounds import KnownBy

PARTIAL = "PARTIAL INDEX"
IDLE = frozenset({"READY", PARTIAL})  # the dataset takes an addition
WAITING = frozenset({"INITIALIZING", "PENDING", "QUEUED"})


@dataclass(frozen=True)
class Sight:
    """What the server shows of a dataset at one moment.

    `additions` and `reindexes` are its tasks, id -> status; None where they can't be had.
    """

    status: str
    n_images: int | None = None
    n_videos: int | None = None
    additions: Mapping[str, str] | None = None
    reindexes: Mapping[str, str] | None = None

    @classmethod
    def of(cls, status: DatasetStatus, tasks: list[Task] | None) -> "Sight":
        """Return what a status and the tasks read with it show."""
        shown = [
            None if tasks is None else {task.id: task.status.upper() for task in tasks if task.type == kind}
            for kind in (TaskType.ADDITION, TaskType.REINDEX)
        ]
        return cls(status.word, status.n_images, status.n_videos, *shown)

    def to_record(self) -> dict[str, Any]:
        """Return it as facts of an intent."""
        tasks = None if self.additions is None else dict(self.additions)
        return {"status": self.status, "n_images": self.n_images, "n_videos": self.n_videos, "tasks": tasks}

    @classmethod
    def from_record(cls, facts: Mapping[str, Any]) -> "Sight":
        """Return what `to_record` wrote."""
        return cls(facts["status"], facts["n_images"], facts["n_videos"], facts["tasks"])

    @property
    def word(self) -> str:
        """The status as it is compared."""
        return self.status.upper()

    @property
    def idle(self) -> bool:
        """Whether the status says that the dataset takes an addition."""
        return self.word in IDLE

    @property
    def busy(self) -> bool:
        """Whether the status says that the dataset is being updated."""
        return not self.idle and STATUS_CLASSES.get(self.word) is StatusClass.BEGUN

    @property
    def media(self) -> int | None:
        """How many images and videos the server counts."""
        if self.n_images is None and self.n_videos is None:
            return None
        return (self.n_images or 0) + (self.n_videos or 0)


@dataclass(frozen=True)
class Change:
    """What has changed from one sight to a later one."""

    before: Sight
    after: Sight

    @property
    def grown(self) -> int | None:
        """How many more media the server counts; None where it does not count."""
        before, after = self.before.media, self.after.media
        return None if before is None or after is None else after - before

    @property
    def new_tasks(self) -> dict[str, str]:
        """The additions' tasks that were not there before, with their statuses."""
        before, after = self.before.additions, self.after.additions
        if before is None or after is None:
            return {}
        return {task: status for task, status in after.items() if task not in before}

    def working(self, *, settled: bool) -> bool:
        """Return whether a task says that the server is still at it, whatever the status says.

        One that only waits is believed until what is shown has `settled`: it may say so for ever.
        """
        shown = {*self.new_tasks.values(), *(self.after.reindexes or {}).values()}
        return "RUNNING" in shown or (not settled and bool(shown & WAITING))

    @property
    def moved(self) -> bool:
        """Whether there is any sign that something was added."""
        return bool(self.new_tasks) or self.before.word != self.after.word or self.grown not in (None, 0)

    @property
    def failed(self) -> bool:
        """Whether the server failed with what it was to add: all there is new has failed."""
        ended = self.new_tasks.values()
        return bool(ended) and all(status in TASK_OVER - {"COMPLETED"} for status in ended)

    @property
    def sign(self) -> KnownBy:
        """The best sign that something was added."""
        if self.new_tasks:
            return KnownBy.TASK
        return KnownBy.STATUS if self.before.word != self.after.word else KnownBy.COUNTS


class Verdict(Enum):
    """What the server shows of an addition whose outcome is unknown."""

    WAIT = auto()  # it may show more
    BEGUN = auto()
    NOT_BEGUN = auto()
    ASK_LIST = auto()  # something was added: perhaps by somebody else
    UNCLEAR = auto()  # a person must look


def judge(
    change: Change,
    sent: int,
    *,
    settled: bool,
    stirred: bool = False,
    conflict: bool = False,
    videos: bool = False,
) -> Verdict:
    """Return what is known of an addition of `sent` files.

    `settled`: what is shown has stayed so for the settling window. `stirred`: it was seen to move in between. `conflict`:
    the answer was that somebody's addition is running; then only numbers say that it was this one all the same. With
    `videos` among the files the server may count more media than files.
    """
    if change.after.busy or (change.after.idle and change.working(settled=settled)):
        return Verdict.WAIT
    if not settled:
        # Numbers that add up end the wait; nothing else does.
        return Verdict.BEGUN if change.after.idle and not conflict and change.grown == sent else Verdict.WAIT
    if not change.after.idle:
        return Verdict.UNCLEAR
    if conflict:
        could_be = change.grown is not None and change.grown >= sent
        return Verdict.ASK_LIST if could_be else Verdict.NOT_BEGUN
    if not (change.moved or stirred):
        return Verdict.NOT_BEGUN
    return Verdict.BEGUN if _fits(change, sent, videos=videos) else Verdict.ASK_LIST


def _fits(change: Change, sent: int, *, videos: bool) -> bool:
    """Return whether what has changed is what an addition of so many files would have changed.

    Where the number has not, the server may not count what was added: then the other signs stand.
    """
    grown = change.grown
    return grown in (None, 0, sent) or (videos and grown is not None and grown > sent)
