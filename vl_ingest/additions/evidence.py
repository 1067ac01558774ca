"""What the server shows of a dataset before and after an addition, and what that proves. Decisions on values.

Somebody else may add media, too: that a status moved, or that there are more media, says that something was added, and not
whose it was. So nothing is decided before the server is idle again and has stood still, and whatever has changed until then
is looked up by name in the server's own list, where that can be had.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from vl_ingest.domain.model import STATUS_CLASSES, DatasetStatus, StatusClass
from vl_ingest.domain.remote import TASK_OVER, Task, TaskType
from vl_ingest.domain.rounds import KnownBy

PARTIAL = "PARTIAL INDEX"
IDLE = frozenset({"READY", PARTIAL})  # the dataset takes an addition


@dataclass(frozen=True)
class Sight:
    """What the server shows of a dataset at one moment.

    `additions` and `reindexes` are its tasks, id -> status, None where they can't be had. `makers` says who began each
    addition, and `owner` who made the dataset, as far as the tasks tell.
    """

    status: str
    n_images: int | None = None
    n_videos: int | None = None
    additions: Mapping[str, str] | None = None
    reindexes: Mapping[str, str] | None = None
    makers: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None

    @classmethod
    def of(cls, status: DatasetStatus, tasks: list[Task] | None) -> "Sight":
        """Return what a status and the tasks read with it show."""
        additions, reindexes = (
            None if tasks is None else {task.id: task.status.upper() for task in tasks if task.type == kind}
            for kind in (TaskType.ADDITION, TaskType.REINDEX)
        )
        makers = {task.id: task.created_by for task in tasks or () if task.created_by}
        owners = {makers.get(task.id) for task in tasks or () if task.type == TaskType.CREATION}
        owner = owners.pop() if len(owners) == 1 else None
        return cls(status.word, status.n_images, status.n_videos, additions, reindexes, makers, owner)

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

    @property
    def own_tasks(self) -> dict[str, str]:
        """Those of them that were not begun by another user than the one who made the dataset, as far as that is told."""
        owner, makers = self.after.owner, self.after.makers
        return {
            task: status
            for task, status in self.new_tasks.items()
            if owner is None or makers.get(task, owner) == owner
        }

    @property
    def has_tasks(self) -> bool:
        """Whether the server shows its tasks."""
        return self.before.additions is not None and self.after.additions is not None

    def working(self, *, settled: bool) -> bool:
        """Return whether a task says that the server is still at it, whatever the status says.

        One that only waits, and a reindex, is believed until what is shown has `settled`: it may say so for ever.
        """
        if "RUNNING" in self.new_tasks.values():
            return True
        shown = {*self.new_tasks.values(), *(self.after.reindexes or {}).values()}
        return not settled and bool(shown - TASK_OVER)

    @property
    def moved(self) -> bool:
        """Whether there is any sign that something was added."""
        return bool(self.new_tasks) or self.before.word != self.after.word or self.grown not in (None, 0)

    @property
    def failed(self) -> bool:
        """Whether the server failed with what it was to add: all that may be ours has failed."""
        return bool(self.own_tasks) and _all_failed(self.own_tasks)

    @property
    def one_own(self) -> bool:
        """Whether there is exactly one new task, which is not known to be another user's, and has not failed."""
        return len(self.new_tasks) == len(self.own_tasks) == 1 and not self.failed

    @property
    def own_left(self) -> bool:
        """Whether an addition that may be ours is not over: it may still bring its files."""
        return not set(self.own_tasks.values()) <= TASK_OVER

    @property
    def owner_told(self) -> bool:
        """Whether it is known of each new task if the owner began it, as far as the server tells who began any."""
        return self.after.owner is not None or not self.new_tasks.keys() & self.after.makers.keys()

    @property
    def mixed(self) -> bool:
        """Whether one addition failed and another did not, and nobody can say which was ours."""
        ended = [status for status in self.own_tasks.values() if status in TASK_OVER]
        return len({status == "COMPLETED" for status in ended}) > 1

    @property
    def nothing_added(self) -> bool:
        """Whether the one addition that there was has failed, and nothing of it is in the dataset."""
        return len(self.new_tasks) == 1 and self.failed and self.grown == 0

    def shows_round(self) -> bool:
        """Return whether the server shows anything of an addition that it has acknowledged, by the best that it shows."""
        if self.own_tasks:
            return True
        if self.new_tasks:
            return False  # all of it may be theirs
        if self.before.word != PARTIAL == self.after.word:
            return True
        return self.before.word != self.after.word if self.grown is None else self.grown > 0


@dataclass(frozen=True)
class Asked:
    """What is known here of an addition whose outcome is unknown.

    Attributes:
        sent: how many files its first request held.
        same: whether those were the very files that are asked about.
        refused: the last answer was no, which may be about an earlier request, or about a copy of this one.
        earlier: whether an earlier request of its files is unknown, too.
        watched: whether this run has sent it, whole, and has looked since then.
        strangers: how many media were in the dataset before, by the server's count, that this job had not sent; None: nobody
            knows.
        loose: the numbers of files of other additions of this job that may still arrive.

    """

    sent: int
    same: bool = True
    refused: bool = False
    earlier: bool = False
    watched: bool = True
    strangers: int | None = 0
    loose: tuple[int, ...] = ()


@dataclass(frozen=True)
class Names:
    """What the server's list says of the names that an addition sent, but for those of videos, which it shows as frames.

    `found` of the `wanted` ones are there, `twice` of these more often than once. `complete`: what is not in it is not in the
    dataset. `spare` other media in it may have come since; None: nobody can say how many.
    """

    wanted: int
    found: int
    twice: int
    complete: bool
    spare: int | None = 0


class Verdict(Enum):
    """What the server shows of an addition whose outcome is unknown."""

    WAIT = auto()  # it may show more
    BEGUN = auto()
    NOT_BEGUN = auto()
    ASK_LIST = auto()  # something was added: perhaps by somebody else
    UNCLEAR = auto()  # a person must look


@dataclass(frozen=True)
class Finding:
    """What is concluded. `known_by` is what shows that it began; `certain`: that it did not is more than absence."""

    verdict: Verdict
    known_by: KnownBy = KnownBy.TASK
    certain: bool = False


UNCLEAR, NOT_BEGUN = Finding(Verdict.UNCLEAR), Finding(Verdict.NOT_BEGUN)


def judge(change: Change, asked: Asked, *, settled: bool, stirred: bool) -> Verdict:
    """Return what can be said without the server's list.

    `settled`: what is shown has stayed so for the settling window. `stirred`: it was seen to move in between.
    """
    if change.after.busy or (change.after.idle and change.working(settled=settled)) or not settled:
        return Verdict.WAIT
    if not change.after.idle:
        return Verdict.UNCLEAR
    if change.moved or stirred or (asked.refused and asked.earlier):
        return Verdict.ASK_LIST
    return Verdict.NOT_BEGUN


def conclude(change: Change, asked: Asked, names: Names | None) -> Finding:
    """Return what is concluded of an addition where something has changed; `names` is None where the list can't be had.

    After a refusal of files that an earlier request may have brought, absence is never believed; nor is it while an addition
    that may be ours is not over.
    """
    finding = (
        _by_signs(change, asked) if names is None or not names.wanted else _by_list(change, asked, names)
    )
    if finding.verdict is Verdict.BEGUN and not asked.same:
        return UNCLEAR
    if finding.verdict is Verdict.NOT_BEGUN and (change.own_left or (asked.refused and asked.earlier)):
        return UNCLEAR
    return finding


def certainly_refused(change: Change, asked: Asked) -> bool:
    """Return whether an addition was refused, and the server has shown nothing since that could be it all the same.

    Without counts or tasks, nobody knows: the refusal may be of a copy of the request, and that one yet to be carried out.
    """
    shown = change.has_tasks and change.grown == 0 and not change.moved
    return shown and asked.refused and not asked.earlier


def _by_list(change: Change, asked: Asked, names: Names) -> Finding:
    """All names, and not enough other media to explain why there are more than before; or none, in a list that is complete."""
    if names.found == names.wanted:
        rest = names.spare if names.complete and change.grown is not None else None
        if (rest is not None and rest < (change.grown or 0)) or _one_task_did_it(change, asked):
            return Finding(Verdict.BEGUN, KnownBy.LIST)
    if not names.found and names.complete:
        return Finding(Verdict.NOT_BEGUN, certain=asked.refused and not change.own_tasks)
    return UNCLEAR


def _by_signs(change: Change, asked: Asked) -> Finding:
    if asked.refused:  # because of somebody's addition: what there is to see may be all theirs
        fewer = change.grown is None or change.grown < asked.sent
        return NOT_BEGUN if fewer else UNCLEAR
    if _one_task_did_it(change, asked):
        return Finding(Verdict.BEGUN, KnownBy.TASK)
    if change.nothing_added:
        return NOT_BEGUN
    counted = change.grown == asked.sent and not change.has_tasks
    if (
        counted
        and change.before.additions is None
        and asked.watched
        and asked.strangers == 0
        and not asked.earlier
    ):
        return Finding(Verdict.BEGUN, KnownBy.COUNTS)
    return UNCLEAR


def _one_task_did_it(change: Change, asked: Asked) -> bool:
    """Return whether there is exactly one new task, not known to be another's, and as many more media as were sent."""
    sure = change.one_own and change.owner_told
    return sure and change.grown == asked.sent and asked.sent not in asked.loose


def _all_failed(tasks: Mapping[str, str]) -> bool:
    return all(status in TASK_OVER - {"COMPLETED"} for status in tasks.values())
