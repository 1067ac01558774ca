"""Files that were changed on disk after they were sent: with `--changed send`, each goes into the dataset once more, as it is now."""

from collections.abc import Mapping, Sequence

from vl_ingest.domain.choices import Changed
from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.model import Facts, FileRow, Found
from vl_ingest.domain.naming import files_text
from vl_ingest.run.context import Context
from vl_ingest.source.hashing import is_only_touched

TOGETHER_BYTES = 1024**3  # read between two commits
COMPARING = "Comparing files that changed after being sent with what was sent."


class ChangedFiles:
    """What a scan finds of them. What the filters leave out is not found, and so left alone."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._changed = self._touched = self._unread = 0
        self._told = False
        self._any_left_out: bool | None = None  # not asked yet

    def look(self, found: Sequence[Found]) -> None:
        """Queue those of `found` anew whose content is not what was sent; they are in the ledger as changed."""
        context = self._context
        if context.settings.changed is not Changed.SEND:
            return
        facts = dict(found)
        # Each in its newest version, and what was sent of it last.
        pairs = [(row, row) for row in context.ledger.versions.changed(context.job.id, list(facts))]
        pairs += self._left_out(facts)
        if pairs:
            self._tell_comparing()
        changed: list[tuple[FileRow, Facts]] = []
        touched: list[tuple[FileRow, Facts]] = []
        read_bytes = 0
        for row, sent in pairs:
            seen = facts[row.path]
            if not seen.size_bytes:  # or it could not even be looked at
                self._unread += 1
                continue
            try:
                same = is_only_touched(context.source, sent, seen, context.check_may_continue)
            except FileTrouble:  # it stays on record as changed, and the next run looks again
                self._unread += 1
                continue
            if same:
                touched.append((sent, seen))
            else:
                changed.append((row, seen))
            read_bytes += seen.size_bytes
            if read_bytes >= TOGETHER_BYTES:
                self._record(changed, touched)
                changed, touched, read_bytes = [], [], 0
        self._record(changed, touched)

    def tell(self) -> None:
        """Say what became of them."""
        if self._told:
            self._context.lease.wait_for(None)
        notice = self._context.observer.notice
        if self._changed:
            notice("step", f"{files_text(self._changed)} changed after being sent: new versions to add.")
        if self._touched:
            notice(
                "step", f"{files_text(self._touched)} only touched after being sent: the content is the same."
            )
        if self._unread:
            notice(
                "warning",
                f"Not compared with what was sent, because empty, unreadable or changing now: {files_text(self._unread)}. "
                "The next run tries again.",
            )

    def _left_out(self, facts: Mapping[str, Facts]) -> list[tuple[FileRow, FileRow]]:
        """Return the versions that an option left out of the files that have changed again since."""
        versions, job_id = self._context.ledger.versions, self._context.job.id
        if self._any_left_out is None:
            self._any_left_out = versions.any_left_out(job_id)
        rows = versions.left_out(job_id, list(facts)) if self._any_left_out else []
        sent = versions.sent(job_id, [row.path for row in rows])
        pairs = [(row, sent[row.path]) for row in rows if row.path in sent]
        return [pair for pair in pairs if not any(row.looks_like(facts[row.path]) for row in pair)]

    def _tell_comparing(self) -> None:
        if not self._told:
            self._context.observer.notice("waiting", COMPARING)
            self._context.lease.wait_for(COMPARING)
        self._told = True

    def _record(
        self, changed: Sequence[tuple[FileRow, Facts]], touched: Sequence[tuple[FileRow, Facts]]
    ) -> None:
        if changed or touched:
            self._context.ledger.versions.record(self._context.run, changed, touched)
            self._changed += len(changed)
            self._touched += len(touched)
