"""What may be concluded of an addition of unknown outcome, whatever has become of it and whatever somebody else does."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from vl_ingest.additions.evidence import (
    Asked,
    Change,
    Names,
    Sight,
    Verdict,
    certainly_refused,
    conclude,
    judge,
)
from vl_ingest.additions.named import _Search
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event
from vl_ingest.domain.rounds import Doubt, KnownBy, doubt_of, loose_of

SENT = 3
US, COLLEAGUE, STRANGER = "us", "us", "somebody"


@dataclass(frozen=True)
class World:
    """What happens on a server, and what it shows of that."""

    ours: str  # "lost", "added", "failed" or "late": added only after everything was looked at
    theirs: tuple[int, ...]  # media of each addition by somebody else
    by: str  # who that is, as the tasks name him
    same_names: bool  # under the very names of ours: before ours, and not after
    tasks: bool
    counts: bool
    lists: bool
    refused: bool = False
    earlier: bool = False

    def before(self) -> Sight:
        """Return what the server shows before."""
        media = 10 + (SENT if self.same_names else 0)
        known = {"old": "COMPLETED"} if self.tasks else None
        return Sight("READY", media if self.counts else None, None, known)

    def after(self) -> Sight:
        """Return what it shows when all is over but for what is late."""
        before = self.before()
        added = [(SENT, US)] if self.ours == "added" else [(0, US)] if self.ours == "failed" else []
        added += [(count, self.by) for count in self.theirs]
        tasks = None if before.additions is None else dict(before.additions)
        makers: dict[str, str] = {}
        for number, (count, by) in enumerate(added):
            if tasks is not None:
                tasks[f"t{number}"], makers[f"t{number}"] = "COMPLETED" if count else "FAILED", by
        media = None if before.n_images is None else before.n_images + sum(count for count, _ in added)
        return replace(
            before, n_images=media, additions=tasks, makers=makers, owner=US if self.tasks else None
        )

    def asked(self) -> Asked:
        """Return what the client knows."""
        strangers = None if not self.counts else SENT if self.same_names else 0
        return Asked(SENT, refused=self.refused, earlier=self.earlier, strangers=strangers)

    def names(self) -> Names | None:
        """Return what the list shows."""
        if not self.lists:
            return None
        there = (self.ours == "added") + self.same_names
        names = Names(SENT, SENT if there else 0, SENT if there > 1 else 0, complete=self.counts)
        return replace(names, spare=sum(self.theirs))


def worlds() -> Iterator[World]:
    """Yield every world there can be."""
    yield from (
        World(*facts)
        for facts in product(
            ("lost", "added", "failed", "late"),
            ((), (1,), (SENT,), (5,), (1, 2), (SENT, SENT)),
            (COLLEAGUE, STRANGER), (False, True), (False, True), (False, True), (False, True), (False, True), (False, True),
        )
    )  # fmt: skip


def finding(world: World) -> tuple[Verdict, KnownBy | None, bool]:
    """Return what is concluded in a world, by what, and whether that is certain."""
    change, asked = Change(world.before(), world.after()), world.asked()
    verdict = judge(change, asked, settled=True, stirred=False)
    if verdict is not Verdict.ASK_LIST:
        return verdict, None, False
    found = conclude(change, asked, world.names())
    return found.verdict, found.known_by, found.certain


def test_what_is_said_to_have_begun_has_begun() -> None:
    """In all but the worlds that nobody can tell apart: an equal addition under our user, and no list to tell by name."""
    wrong = [world for world in worlds() if finding(world)[0] is Verdict.BEGUN and world.ours != "added"]
    assert all(sum(world.theirs) == SENT and world.counts for world in wrong), "as many more media"
    assert all(len(world.theirs) == 1 for world in wrong if world.tasks), "in one addition"
    assert all(not world.lists or (world.same_names and world.tasks) for world in wrong), "no name tells"
    assert all(not world.tasks or world.by == COLLEAGUE for world in wrong), "no task tells"
    assert all(world.lists for world in wrong if world.refused), "a refusal is never taken for it by numbers"
    assert not any(not world.tasks and (world.same_names or world.earlier) for world in wrong)


def test_what_is_sent_again_was_not_there() -> None:
    """An addition is called not begun only where the server has nothing of it, and after a refusal in doubt never."""
    for world in worlds():
        verdict, _, certain = finding(world)
        if verdict is not Verdict.NOT_BEGUN:
            continue
        assert not (world.refused and world.earlier), world
        assert not certain or world.refused, world
        if world.ours == "added":  # only where nobody counts, lists, or tells
            assert not world.counts, world
            assert not world.lists or not world.tasks, world


def test_what_is_plain_is_decided() -> None:
    """A list decides with or without tasks; without one, a task and the number do; and nothing at all is no addition."""
    plain = World("added", (), US, same_names=False, tasks=True, counts=True, lists=True)
    assert finding(plain) == (Verdict.BEGUN, KnownBy.LIST, False)
    assert finding(replace(plain, tasks=False)) == (Verdict.BEGUN, KnownBy.LIST, False)
    assert finding(replace(plain, lists=False)) == (Verdict.BEGUN, KnownBy.TASK, False)
    assert finding(replace(plain, lists=False, tasks=False)) == (Verdict.BEGUN, KnownBy.COUNTS, False)
    assert finding(replace(plain, ours="lost"))[0] is Verdict.NOT_BEGUN
    assert finding(replace(plain, ours="lost", theirs=(SENT,)))[0] is Verdict.NOT_BEGUN
    assert finding(replace(plain, ours="failed", lists=False))[0] is Verdict.NOT_BEGUN
    refused = replace(plain, ours="lost", theirs=(1,), by=STRANGER, refused=True)
    assert finding(refused)[::2] == (Verdict.NOT_BEGUN, True)
    assert finding(replace(refused, by=US))[::2] == (Verdict.NOT_BEGUN, False), (
        "the task may be of a copy of ours"
    )
    assert finding(replace(refused, lists=False))[::2] == (Verdict.NOT_BEGUN, False)
    assert finding(replace(refused, earlier=True))[0] is Verdict.UNCLEAR


BEFORE = Sight("READY", 10, 0, {"a": "COMPLETED"})
AFTER = Sight("READY", 13, 0, {"a": "COMPLETED", "b": "COMPLETED"})


@pytest.mark.parametrize(
    ("change", "asked", "names"),
    [
        (Change(BEFORE, replace(AFTER, n_images=12)), Asked(3), None),
        (Change(BEFORE, replace(AFTER, n_images=14)), Asked(3), None),
        (Change(BEFORE, replace(AFTER, additions=BEFORE.additions)), Asked(3), None),
        (Change(BEFORE, replace(AFTER, additions=None)), Asked(3), None),
        (Change(BEFORE, replace(AFTER, n_images=None, n_videos=None)), Asked(3), None),
        (Change(BEFORE, replace(BEFORE, status="PARTIAL INDEX")), Asked(3), None),
        (Change(BEFORE, AFTER), Asked(3, refused=True), None),
        (Change(BEFORE, AFTER), Asked(3, same=False), None),
        (Change(BEFORE, AFTER), Asked(3), Names(3, 2, 0, complete=True)),
        (Change(BEFORE, replace(AFTER, n_images=15)), Asked(3), Names(3, 3, 0, complete=True, spare=5)),
        (Change(BEFORE, replace(AFTER, n_images=15)), Asked(3), Names(3, 3, 0, complete=True, spare=None)),
        (Change(BEFORE, replace(AFTER, n_images=15)), Asked(3), Names(3, 3, 0, complete=False)),
        (Change(BEFORE, AFTER), Asked(3), Names(3, 0, 0, complete=False)),
        (Change(replace(BEFORE, additions=None), replace(AFTER, additions=None)), Asked(3, watched=False), None),
        (Change(replace(BEFORE, additions=None), replace(AFTER, additions=None)), Asked(3, strangers=1), None),
        (Change(replace(BEFORE, additions=None), replace(AFTER, additions=None)), Asked(3, strangers=None), None),
        (Change(replace(BEFORE, additions=None), replace(AFTER, additions=None)), Asked(3, earlier=True), None),
    ],
)  # fmt: skip
def test_what_proves_nothing_is_for_a_person(change: Change, asked: Asked, names: Names | None) -> None:
    """A number that does not fit, a status that moved, tasks that can't be had any more, names that were there before."""
    assert judge(change, asked, settled=True, stirred=False) is Verdict.ASK_LIST
    assert conclude(change, asked, names).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("after", "settled", "verdict"),
    [
        (AFTER, False, Verdict.WAIT),
        (replace(AFTER, status="READ ONLY"), True, Verdict.WAIT),
        (replace(AFTER, additions={"b": "RUNNING"}), True, Verdict.WAIT),
        (replace(BEFORE, status="PERHAPS"), True, Verdict.UNCLEAR),
        (BEFORE, True, Verdict.NOT_BEGUN),
        (BEFORE, False, Verdict.WAIT),
    ],
)
def test_nothing_is_decided_before_the_server_stands_still(
    after: Sight, settled: bool, verdict: Verdict
) -> None:
    """Numbers that add up, too, have to stay so."""
    assert judge(Change(BEFORE, after), Asked(3), settled=settled, stirred=False) is verdict
    stirred = judge(Change(BEFORE, after), Asked(3), settled=settled, stirred=True)
    assert stirred is (Verdict.ASK_LIST if verdict is Verdict.NOT_BEGUN else verdict)


INTENDED, UNKNOWN = EventKind.ADDITION_INTENDED, EventKind.ADDITION_UNKNOWN
FIRST = {"batch": 7, "files": 3, "status": "READY", "n_images": 1, "n_videos": 0, "tasks": {}}
AGAIN = {**FIRST, "n_images": 2}
LOST = {"batch": 7, "detail": "lost", "conflict": False}
ABSENT = {
    "batch": 7,
    "doubts": 0,
    "status": "READY",
    "n_images": 5,
    "n_videos": 0,
    "tasks": {"x": "COMPLETED"},
}


def told(*events: tuple[EventKind, dict[str, Any]]) -> list[Event]:
    """Return events as the ledger has them."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    return [
        Event(number, "job", number, 1, "vm", "ann", at, kind, facts, "")
        for number, (kind, facts) in enumerate(events, 1)
    ]


NOT_BEGUN = (EventKind.ADDITION_SETTLED_NOT_BEGUN, {"batch": 7, "doubts": 0, "status": "READY"})
REFUSED = (EventKind.ADDITION_REFUSED, {"batch": 7})
IS_LOST = Doubt(FIRST, 1, 3, same=True, why="lost", answered=True)


@pytest.mark.parametrize(
    ("events", "doubt"),
    [
        ((), None),
        (((INTENDED, FIRST), REFUSED), None),
        (((INTENDED, FIRST),), Doubt(FIRST, 1, 3, same=True)),
        (((INTENDED, FIRST), (UNKNOWN, LOST)), IS_LOST),
        (((INTENDED, {**FIRST, "batch": 5}), (UNKNOWN, {**LOST, "batch": 5})), replace(IS_LOST, before={**FIRST, "batch": 5}, same=False)),
        (((INTENDED, {**FIRST, "batch": 4}), (UNKNOWN, {**LOST, "batch": 4})), None),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN), IS_LOST),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN, (INTENDED, AGAIN), REFUSED), IS_LOST),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN, (INTENDED, AGAIN)), Doubt(FIRST, 2, 3, same=True, earlier=True)),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN, (INTENDED, AGAIN), (UNKNOWN, LOST)), replace(IS_LOST, requests=2, earlier=True)),
        (((INTENDED, FIRST), (UNKNOWN, LOST), (NOT_BEGUN[0], ABSENT)), replace(IS_LOST, before=ABSENT)),
        (((INTENDED, FIRST), (UNKNOWN, {**LOST, "conflict": True}), (NOT_BEGUN[0], {**ABSENT, "doubts": 3})), None),
        (((INTENDED, FIRST), (UNKNOWN, LOST), (EventKind.ADDITION_SETTLED_BY_HAND, {"batch": 7, "began": False})), None),
        (((INTENDED, FIRST), REFUSED, (INTENDED, AGAIN), (UNKNOWN, LOST)), replace(IS_LOST, before=AGAIN)),
    ],
)  # fmt: skip
def test_the_first_evidence_is_kept(events: tuple[Any, ...], doubt: Doubt | None) -> None:
    """It is what the server showed before the first request that may have been carried out, or when its list had nothing."""
    assert doubt_of(told(*events), 7, [6, 5]) == doubt


@pytest.mark.parametrize(
    ("events", "loose"),
    [
        (((INTENDED, FIRST), REFUSED), ()),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN), (3,)),
        (((INTENDED, FIRST), (UNKNOWN, LOST), (NOT_BEGUN[0], {**ABSENT, "doubts": 3})), ()),
        (((INTENDED, FIRST), (UNKNOWN, LOST), (EventKind.ADDITION_SETTLED_BEGUN, {"batch": 7})), ()),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN, (INTENDED, FIRST), (UNKNOWN, LOST), (EventKind.ADDITION_SETTLED_BEGUN, {"batch": 7})), (3,)),
        (((INTENDED, FIRST), (UNKNOWN, LOST), NOT_BEGUN, (INTENDED, FIRST), (UNKNOWN, LOST), (EventKind.ADDITION_SETTLED_BY_HAND, {"batch": 7, "began": False})), ()),
    ],
)  # fmt: skip
def test_what_may_still_arrive_is_known(events: tuple[Any, ...], loose: tuple[int, ...]) -> None:
    """Each request of another addition that was settled on absence alone may come late, and would look like one of now."""
    assert loose_of(told(*events), [8]) == loose
    assert loose_of(told(*events), [7]) == ()


def test_a_late_request_of_another_addition_is_no_proof() -> None:
    """One new task and as many more media: it may be what was sent last week."""
    change = Change(BEFORE, AFTER)
    assert conclude(change, Asked(3, loose=(2,)), None).verdict is Verdict.BEGUN
    assert conclude(change, Asked(3, loose=(2, 3)), None).verdict is Verdict.UNCLEAR


LISTED = {"items": 13, "images": 13, "known": True}


@pytest.mark.parametrize(
    ("listed", "n_images", "total", "complete", "spare"),
    [
        ({}, 13, 13, True, 0),
        ({}, 13, None, True, 0),
        ({}, 13, 14, False, 0),  # fewer than it says itself
        ({}, 12, 13, False, 0),  # of another moment than the counts
        ({}, None, 13, False, 0),
        ({"unnamed": 1}, 13, 13, False, 0),
        ({"known": False}, 13, 13, False, 0),  # nothing of what was sent earlier: other names than ours
        ({"others": 2}, 13, 13, True, 2),
        ({"found": Counter(a=1, old=3)}, 13, 13, True, 2),  # one that was in doubt has come again
        ({"images": 10}, 10, 13, True, None),  # frames, of nobody knows how many videos
        ({"images": 10}, 9, 13, False, None),
    ],
)
def test_absence_counts_in_a_list_that_agrees_with_the_counts(
    listed: dict[str, Any], n_images: int | None, total: int | None, complete: bool, spare: int | None
) -> None:
    """One that is shorter, or has no names of ours, says nothing of what is not in it."""
    search = _Search({"a", "b"}, {"old"}, **{**LISTED, **listed})
    names = search.result(Sight("READY", n_images), total, anything_sent=True)
    assert (names.complete, names.spare) == (complete, spare)


def test_what_may_still_come_is_not_absent() -> None:
    """A new task that waits, or goes on under a word that nobody knows: no list shows that its files will not come."""
    for word in ("QUEUED", "IN_PROGRESS"):
        change = Change(BEFORE, replace(BEFORE, additions={"a": "COMPLETED", "b": word}))
        assert not change.working(settled=True)
        absent = Names(3, 0, 0, complete=True)
        assert conclude(change, Asked(3), absent).verdict is Verdict.UNCLEAR
        assert conclude(change, Asked(3, refused=True), None).verdict is Verdict.UNCLEAR


def test_a_reindex_that_never_ends_is_waited_for_no_longer_than_the_window() -> None:
    """A task of it may be stuck for ever."""
    change = Change(BEFORE, replace(AFTER, reindexes={"r": "RUNNING"}))
    assert change.working(settled=False)
    assert not change.working(settled=True)


def test_a_task_of_nobody_known_proves_nothing() -> None:
    """The task of the dataset's creation is gone after a while, and with it who the owner is."""
    alone = replace(AFTER, owner=None)
    assert conclude(Change(BEFORE, alone), Asked(3), None).verdict is Verdict.BEGUN, "nobody is told of"
    told = replace(alone, makers={"b": "ann"})
    assert conclude(Change(BEFORE, told), Asked(3), None).verdict is Verdict.UNCLEAR
    assert conclude(Change(BEFORE, replace(told, owner="ann")), Asked(3), None).verdict is Verdict.BEGUN


def test_a_refusal_is_certain_only_where_nothing_moved_and_all_is_shown() -> None:
    """Otherwise the files may be there."""
    refused = Asked(3, refused=True)
    assert certainly_refused(Change(BEFORE, BEFORE), refused)
    assert not certainly_refused(Change(BEFORE, replace(BEFORE, n_images=None, n_videos=None)), refused)
    assert not certainly_refused(Change(BEFORE, replace(BEFORE, status="PARTIAL INDEX")), refused)
    assert not certainly_refused(Change(BEFORE, AFTER), refused)
    unseen = replace(BEFORE, additions=None)
    assert not certainly_refused(Change(unseen, unseen), refused)
    assert not certainly_refused(Change(BEFORE, BEFORE), replace(refused, earlier=True))
