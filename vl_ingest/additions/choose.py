"""What is added together: the next files that wait, as many as one addition holds, each looked at on disk."""

from collections.abc import Sequence

from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.model import Batch, Facts, FileRow, FileState
from vl_ingest.domain.naming import files_text
from vl_ingest.run.context import Context
from vl_ingest.source.hashing import is_only_touched
from vl_ingest.upload.plan import BatchLimits, Room, halves
from vl_ingest.upload.scan import check_source

LOOK_AHEAD = 2000  # files read at once from the ledger
SEND = "--changed send"  # who leaves out a version whose content was sent


def next_batch(context: Context) -> Batch | None:
    """Put the next files in flight together; None where nothing is left to add."""
    room, after_id = BatchLimits(context.settings, context.reload().too_large_bytes).addition(), 0
    chosen: list[FileRow] = []
    unsendable: list[tuple[FileRow, FileTrouble]] = []
    same: list[tuple[FileRow, str]] = []
    full = False
    while not full and (rows := context.ledger.files.pending(context.job.id, after_id, LOOK_AHEAD)):
        after_id = rows[-1].id
        context.check_may_continue()
        full = not _fill(context, rows, room, chosen, unsendable, same)
    _leave_out(context, same)
    batch = context.ledger.additions.claim(context.run, chosen, unsendable)
    for row, why in unsendable:
        context.observer.file_error(row.path, FileState(why.state), why.reason)
    return batch


def is_last(context: Context) -> bool:
    """Return whether nothing waits behind what is in flight."""
    return not context.ledger.files.pending(context.job.id, 0, 1)


def cut(batch: Batch, detail: str) -> list[list[FileRow]]:
    """Cut a batch in two: the one file that the server names and the others, or halves."""
    named = [file for file in batch.files if file.sent_as in detail]
    if len(named) == 1:
        return [named, [file for file in batch.files if file is not named[0]]]
    return [list(half) for half in halves(batch.files)]


def _fill(
    context: Context,
    rows: Sequence[FileRow],
    room: Room,
    chosen: list[FileRow],
    unsendable: list[tuple[FileRow, FileTrouble]],
    same: list[tuple[FileRow, str]],
) -> bool:
    """Put files in while there is room; return whether there still is."""
    # What may have arrived already goes out again as it is, and is reported as that.
    later = [row.path for row in rows if row.version > 1 and not row.unknown_attempts]
    sent = context.ledger.versions.sent(context.job.id, later) if later else {}
    for row in rows:
        try:
            seen = context.source.look(row.path)
        except FileTrouble as trouble:
            check_source(context)
            unsendable.append((row, trouble))
            continue
        before = sent.get(row.path)
        if before is not None and _is_as_sent(context, before, seen):
            same.append((row, f"same content as version {before.version}"))
            continue
        if not room.take(seen.size_bytes):
            return False
        chosen.append(row.with_facts(seen))
    return True


def _is_as_sent(context: Context, before: FileRow, seen: Facts) -> bool:
    """Return whether a version that waits has become again what was sent before."""
    try:
        return is_only_touched(context.source, before, seen, context.check_may_continue)
    except FileTrouble:  # its turn will tell
        return False


def _leave_out(context: Context, same: Sequence[tuple[FileRow, str]]) -> None:
    if same:
        context.ledger.decisions.waive_known(context.run, same, SEND)
        context.observer.notice(
            "step", f"{files_text(len(same))} changed back to what was sent before: not sent again."
        )
