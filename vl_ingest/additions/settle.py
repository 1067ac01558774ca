"""What became of an addition whose answer does not tell: decided by what the server shows, and only after it is idle again."""

from collections.abc import Mapping

from vl_ingest import clock
from vl_ingest.additions.evidence import Change, Sight, Verdict, judge
from vl_ingest.additions.hashing import hash_of
from vl_ingest.additions.named import listed
from vl_ingest.additions.sight import Looker
from vl_ingest.domain import words
from vl_ingest.domain.errors import FileTrouble, Undecided
from vl_ingest.domain.formats import VIDEOS, extension
from vl_ingest.domain.model import Batch, JobState
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.rounds import KnownBy
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context

FIRST_POLL_S, POLL_S, GROWTH = 0.5, 5.0, 1.5
SHORTEST_SETTLE_S = 0.05  # a window has two ends, whatever --settle says
DIED = "the run ended before the answer"


def settle(context: Context) -> bool:
    """Decide whether the addition began whose outcome is wanted; return whether it did.

    Raises `Undecided` where what the server shows does not tell. Time in which the server can't be read does not count.
    """
    batch, intent, recorded = context.ledger.rounds.wanted(context.job.id)
    if recorded is None:
        context.ledger.rounds.unknown(context.run, batch, None, DIED, (), conflict=False)
    facts = {"detail": DIED, "conflict": False} if recorded is None else recorded.facts
    return _Settling(context, batch, Sight.from_record(intent.facts), facts).decide()


class _Settling:
    """One addition on its way to a decision."""

    def __init__(self, context: Context, batch: Batch, before: Sight, facts: Mapping[str, object]) -> None:
        self._context = context
        self._batch = batch
        self._before = before
        self._why = str(facts["detail"])
        self._conflict = bool(facts["conflict"])
        self._window_s = max(context.settings.settle_s, SHORTEST_SETTLE_S)
        self._looker = Looker(context)

    def decide(self) -> bool:
        text = f"Watching the dataset to learn whether the addition of {files_text(len(self._batch.files))} began ({self._why})."
        with self._context.waiting(text):
            verdict, change = self._watch()
        if verdict is Verdict.ASK_LIST:
            return self._ask_list(change)
        if verdict is Verdict.BEGUN:
            return self._begun(change, change.sign)
        if verdict is Verdict.NOT_BEGUN:
            said = "the server refused it" if self._conflict else f"still {change.after.status}"
            return self._not_begun(change, f"{said} after {self._window_s:.0f} s")
        raise self._undecided(change)

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
            verdict = judge(
                change,
                len(self._batch.files),
                settled=still_s >= self._window_s,
                stirred=stirred,
                conflict=self._conflict,
                videos=any(extension(file.sent_as) in VIDEOS for file in self._batch.files),
            )
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

    def _ask_list(self, change: Change) -> bool:
        """Something was added: look in the server's list whether it was this."""
        there = listed(self._looker.asking, self._context.dataset_id, self._batch.files)
        if there is None:
            raise self._undecided(change)
        if there == 0:
            return self._not_begun(change, "the server lists none of its files")
        if 2 * there < len(self._batch.files):
            raise self._undecided(change)
        return self._begun(change, KnownBy.LIST)

    def _begun(self, change: Change, known_by: KnownBy) -> bool:
        context, batch = self._context, self._batch
        grown = "" if change.grown is None else f", {words.several(change.grown, 'more medium')}"
        detail = f"{change.before.status} before, {change.after.status} now{grown}".replace(
            "mediums", "media"
        )
        hashes = self._rehashed()
        number = context.ledger.rounds.settle_begun(
            context.run, batch, known_by, change.after.status, detail, hashes
        )
        context.observer.notice(
            "step", f"The addition of {files_text(len(batch.files))} has begun (round {number})."
        )
        return True

    def _not_begun(self, change: Change, detail: str) -> bool:
        context, batch = self._context, self._batch
        context.ledger.rounds.settle_not_begun(context.run, batch, change.after.status, detail)
        context.observer.notice(
            "step",
            f"The addition has not begun ({detail}): {files_text(len(batch.files))} still to be added.",
        )
        return False

    def _rehashed(self) -> dict[int, str]:
        """Return the hashes of the files that a run sent which then died, of those that are still as they were."""
        hashes = {}
        for file in self._batch.files:
            if file.sha256 is None:
                try:
                    hashes[file.id] = hash_of(self._context, file.path, file.facts)
                except FileTrouble:
                    continue
        return hashes

    def _undecided(self, change: Change) -> Undecided:
        job_id = self._context.job.id
        grown = (
            "does not say how many media it has"
            if change.grown is None
            else f"has {change.grown:,} more media"
        )
        return Undecided(
            f"The outcome of the addition of {files_text(len(self._batch.files))} is unknown ({self._why}). The dataset went "
            f"from {change.before.status} to {change.after.status} and {grown}, which does not show whether these files are "
            f"among them. Look at the dataset; then run `vl-ingest settle {job_id} --began` or `--not-begun`, and the same "
            "command again."
        )
