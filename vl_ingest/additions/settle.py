"""What became of an addition whose answer does not tell: decided by what the server shows once it is idle and stands still.

It is held against what the server showed before the first of the requests that may have been carried out.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vl_ingest import clock
from vl_ingest.additions.evidence import (
    PARTIAL,
    Asked,
    Change,
    Finding,
    Names,
    Sight,
    Verdict,
    certainly_refused,
    conclude,
    judge,
)
from vl_ingest.additions.follow import reindex
from vl_ingest.additions.named import look_up
from vl_ingest.additions.sight import Looker
from vl_ingest.domain.choices import OnUnknown, Reindex
from vl_ingest.domain.errors import FileTrouble, ProcessingFailed, Undecided
from vl_ingest.domain.model import Batch, FileState, JobState
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.rounds import DIED, Doubt, KnownBy, RoundState
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context
from vl_ingest.run.export import By
from vl_ingest.source.hashing import hash_of

FIRST_POLL_S, POLL_S, GROWTH = 0.5, 5.0, 1.5
NOTHING: Mapping[str, Any] = {}
SHORTEST_SETTLE_S = 0.05  # a window has two ends, whatever --settle says


def settle(context: Context, *, watched: bool = False) -> bool:
    """Decide whether the addition began whose outcome is wanted; return whether it did.

    `watched`: this run has just sent it. Raises `Undecided` where what the server shows does not tell, or where it is a
    person's to decide (`--on-unknown hold`). Time in which the server can't be read does not count.
    """
    batch, doubt = context.ledger.additions.wanted(context.job.id)
    if not doubt.answered:
        context.ledger.additions.unknown(context.run, batch, None, DIED, (), conflict=False)
    return _Settling(context, batch, doubt, watched=watched).decide()


def in_doubt_again(context: Context, batch: Batch, now: Sight, *, stirred: bool) -> bool:
    """Look at a batch before it is sent once more; return whether its outcome is wanted again, and the job `adding`.

    So it is where anything has changed since its first request, or has `stirred`, and where unknown outcomes are a person's to
    settle.
    """
    doubt = context.ledger.additions.doubt(context.job.id, batch)
    if doubt is None:
        return False
    change = Change(Sight.from_record(doubt.before), now)
    held = context.settings.on_unknown is OnUnknown.HOLD
    moved = change.moved or stirred
    if not moved and not held:
        return False
    detail = _what(change) if moved else "--on-unknown hold"
    context.ledger.additions.doubt_again(context.run, batch, now.status, detail)
    return True


def _what(change: Change) -> str:
    grown = "" if change.grown is None else f", {change.grown:,} more media"
    return f"{change.before.status} before, {change.after.status} now{grown}"


class _Settling:
    """One addition on its way to a decision."""

    def __init__(self, context: Context, batch: Batch, doubt: Doubt, *, watched: bool) -> None:
        self._context = context
        self._batch = batch
        self._why = doubt.why
        self._before = Sight.from_record(doubt.before)
        whole = watched and all(file.sha256 is not None for file in batch.files)
        marks = doubt.requests - (not doubt.answered)
        # Under the name of a file that has changed since, an earlier request may have brought other bytes.
        other_bytes = any(file.changes and file.unknown_attempts > marks for file in batch.files)
        self._asked = Asked(
            sent=doubt.files, same=doubt.same and not other_bytes, refused=doubt.refused, earlier=doubt.earlier,
            watched=whole, strangers=self._strangers(), loose=doubt.loose,
        )  # fmt: skip
        self._window_s = max(context.settings.settle_s, SHORTEST_SETTLE_S)
        self._looker = Looker(context)

    def decide(self) -> bool:
        text = f"Watching the dataset to learn whether the addition of {files_text(len(self._batch.files))} began ({self._why})."
        with self._context.waiting(text):
            verdict, change = self._watch()
        if verdict is Verdict.UNCLEAR:
            raise self._undecided(change)
        if verdict is Verdict.NOT_BEGUN:
            said = "the server refused it" if self._asked.refused else f"still {change.after.status}"
            finding = Finding(Verdict.NOT_BEGUN, certain=certainly_refused(change, self._asked))
            return self._not_begun(change, finding, f"{said} after {self._window_s:.0f} s")
        names = self._names(change)
        finding = conclude(change, self._asked, names)
        if finding.verdict is Verdict.UNCLEAR and names is None and self._gets_a_list_by_reindex(change):
            change = Change(self._before, self._looker.look()[0])
            names = self._names(change)
            finding = conclude(change, self._asked, names)
        if finding.verdict is Verdict.BEGUN:
            return self._begun(change, finding.known_by, once=names is None or not names.twice)
        if finding.verdict is Verdict.NOT_BEGUN:
            absent = names is not None and names.wanted
            detail = "the server lists none of its files" if absent else _what(change)
            return self._not_begun(change, finding, detail, seen=self._seen(change.after))
        raise self._undecided(change)

    def _names(self, change: Change) -> Names | None:
        return look_up(self._looker.asking, self._context.dataset_id, self._batch, change.after)

    def _gets_a_list_by_reindex(self, change: Change) -> bool:
        """Have the dataset reindexed where it would be anyway: only of one that is ready the server gives a list."""
        asking, wanted = self._looker.asking, self._context.settings.reindex is Reindex.AUTO
        if not wanted or change.after.word != PARTIAL or all(by in asking.missing for by in By):
            return False
        with suppress(ProcessingFailed):
            reindex(self._context)
        return True

    def _strangers(self) -> int | None:
        """Return how many media were in the dataset before that this job had not sent."""
        ledger, job_id, media = self._context.ledger, self._context.job.id, self._before.media
        if media is None or any(entry.state is RoundState.FAILED for entry in ledger.rounds.all(job_id)):
            return None
        return media - ledger.files.counts(job_id)[FileState.SENT]

    def _watch(self) -> tuple[Verdict, Change]:
        """Look until the verdict is not to wait; a window begins anew with whatever changes."""
        still_s, poll_s, last, stirred = 0.0, FIRST_POLL_S, None, False
        while True:
            sight, status = self._looker.look()
            if sight != last:
                still_s = still_s if last is None else 0.0
                last = sight
            change = Change(self._before, sight)
            stirred = stirred or change.moved
            verdict = judge(change, self._asked, settled=still_s >= self._window_s, stirred=stirred)
            if verdict is not Verdict.WAIT:
                return verdict, change
            counts = self._context.ledger.files.counts(self._context.job.id)
            told = {"status": status.word, "status_progress": status.progress}
            self._context.observer.progress(Progress(JobState.ADDING, counts, **told))  # type: ignore[arg-type]  # a word and a number
            started = clock.monotonic()
            step_s = poll_s if sight.busy else min(poll_s, max(self._window_s - still_s, SHORTEST_SETTLE_S))
            self._context.pause(step_s)
            still_s += min(clock.monotonic() - started, step_s)
            poll_s = min(POLL_S, poll_s * GROWTH)

    def _begun(self, change: Change, known_by: KnownBy, *, once: bool) -> bool:
        context, batch = self._context, self._batch
        number = context.ledger.additions.settle_begun(
            context.run, batch, known_by, change.after.status, _what(change), self._rehashed(), once=once
        )
        context.observer.notice(
            "step", f"The addition of {files_text(len(batch.files))} has begun (round {number})."
        )
        return True

    def _seen(self, now: Sight) -> dict[str, Any]:
        """Return what later looks are held against: what is shown now, and of what is not shown now, what was before."""
        shown = {key: value for key, value in now.to_record().items() if value is not None}
        return self._before.to_record() | shown

    def _not_begun(
        self, change: Change, finding: Finding, detail: str, *, seen: Mapping[str, Any] = NOTHING
    ) -> bool:
        context, batch = self._context, self._batch
        if context.settings.on_unknown is OnUnknown.HOLD and not finding.certain:
            raise self._undecided(change, held=True)
        context.ledger.additions.settle_not_begun(
            context.run, batch, change.after.status, detail, seen, certain=finding.certain
        )
        context.observer.notice(
            "step",
            f"The addition has not begun ({detail}): {files_text(len(batch.files))} still to be added.",
        )
        return False

    def _rehashed(self) -> dict[int, str]:
        """Return the hashes of the files that a run sent which then died, of those that are still as they were."""
        source, check = self._context.source, self._context.cancel_token.raise_if_cancelled
        hashes = {}
        for file in self._batch.files:
            if file.sha256 is None:
                try:
                    hashes[file.id] = hash_of(source, file.path, file.facts, check)
                except FileTrouble:
                    continue
        return hashes

    def _undecided(self, change: Change, *, held: bool = False) -> Undecided:
        job_id = self._context.job.id
        grown = (
            "does not say how many media it has"
            if change.grown is None
            else f"has {change.grown:,} more media"
        )
        why = (
            "and --on-unknown hold leaves that to you"
            if held
            else "which does not show whether these files are among them"
        )
        return Undecided(
            f"The outcome of the addition of {files_text(len(self._batch.files))} is unknown ({self._why}). The dataset went "
            f"from {change.before.status} to {change.after.status} and {grown}, {why}. Look at the dataset; then run "
            f"`vl-ingest settle {job_id} --began` or `--not-begun`, and the same command again."
        )
