"""The scan: the job's folder into the ledger, as it is walked."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import FilesHeld
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.run.context import Context
from vl_ingest.source.scanner import Scanner
from vl_ingest.upload.choice import BEYOND, Choice, apply_filters, count_beyond, is_list_lost, scanner_of

FIRST_CHUNK, CHUNK = 50, 1000  # files a commit
FLUSH_AFTER_S = 0.5
SO = "processing was not started"


class FolderEmpty(FilesHeld):
    """The source has no file at all, though there were some before."""


def check_source(context: Context) -> None:
    """Go on if the source is the one that this run began with; to be asked before a file is taken for missing.

    Raises `FilesHeld`: a disk that drops takes no file away.
    """
    if not context.source.is_there():
        raise FilesHeld(
            f"{path_to_text(context.source.address)} has vanished since this run began, or another folder has taken its "
            "place: was its disk removed? Its files are not marked as missing. Run the same command again when it is back, "
            f"or `vl-ingest resume {context.job.id} --source PATH` if it has moved."
        )


def scan(
    context: Context,
    progress: Callable[[], None],
    so: str = SO,
    look: Callable[[Sequence[Found]], None] = lambda _found: None,
) -> Counter[str]:
    """Walk the job's folder into the ledger, committing as it goes; `progress` is called after each commit.

    `so` says what follows where it is not complete. `look` is called with what was found, when that is in the ledger.

    The filters decide on the files of earlier runs before anything is found. Returns what was left out. Raises
    `FilesHeld` where the source vanishes or a folder can't be read, `FolderEmpty` where a walk finds nothing though there
    were files before that the filters let in: then nobody knows what is in it, and the scan is not complete.
    """
    last_id = context.ledger.files.last_id(context.job.id)
    with closing(scanner_of(context.source, context.settings, context.ledger, context.reload())) as scanner:
        choice = Choice()
        # The first walk goes on while files are sent.
        scanner.beside = not last_id and _may_walk_beside(context)
        if last_id:
            scanner.keep_list()
            if is_list_lost(scanner, context.settings):
                context.note(EventKind.SCAN_INCOMPLETE, unread=[context.settings.files_from])
                raise FilesHeld(
                    f"The list {path_to_text(context.settings.files_from or '')} names no file any more, so nothing was left "
                    f"out and {so}. Give the list again; or, if nothing more is to be sent, "
                    f"`--files-from {os.devnull}`."
                )
            apply_filters(context, scanner, choice, last_id)
        empty = _walk(context, scanner, progress, look)
        count_beyond(context.ledger, context.job.id, scanner, BEYOND, choice, last_id)
    for text in choice.sentences():
        context.observer.notice("step", text)
    _check(context, scanner, so, vanished=empty and choice.wanted > 0)
    context.ledger.jobs.mark_scanned(context.run, scanner.left_out)
    progress()
    return scanner.left_out


def _may_walk_beside(context: Context) -> bool:
    settings = context.settings
    patterns = settings.include or settings.exclude or settings.exclude_from
    alone = settings.processes == 0 or os.cpu_count() == 1
    return not (patterns or alone) and context.source.folder is not None


def _walk(
    context: Context,
    scanner: Scanner,
    progress: Callable[[], None],
    look: Callable[[Sequence[Found]], None],
) -> bool:
    """Record what is found; return whether that is nothing, though a list may name nothing."""
    chunk: list[Found] = []
    empty = context.settings.files_from is None  # a list may be
    size, since = FIRST_CHUNK, clock.monotonic()
    for item in scanner.found():
        chunk.append(item)
        empty = False
        if len(chunk) >= size or clock.monotonic() - since > FLUSH_AFTER_S:
            context.cancel_token.raise_if_cancelled()
            context.ledger.files.add(context.run, chunk)
            look(chunk)
            progress()
            chunk, size, since = [], CHUNK, clock.monotonic()
    if chunk:
        context.ledger.files.add(context.run, chunk)
        look(chunk)
        progress()
    if scanner.unread or empty:
        check_source(context)
    return empty


def _check(context: Context, scanner: Scanner, so: str, *, vanished: bool) -> None:
    """Raise `FilesHeld` where nobody knows what is in the source: `vanished` says that known files should be."""
    if scanner.unread:
        context.note(EventKind.SCAN_INCOMPLETE, unread=scanner.unread[:100])
        them = "it" if len(scanner.unread) == 1 else "them"
        raise FilesHeld(
            f"{words.several(len(scanner.unread), 'folder')} can't be read, so {so}: "
            f"{', '.join(scanner.unread[:5])}. Make {them} readable, or leave {them} out with --exclude; then run "
            "the same command again."
        )
    if vanished:
        raise folder_empty(context, so)


def folder_empty(context: Context, so: str = SO) -> FolderEmpty:
    """Return the error for a folder that should have files, and put on record that it has none."""
    context.note(EventKind.SCAN_INCOMPLETE, unread=["."])
    return FolderEmpty(
        f"The folder {path_to_text(context.source.address)} has no files to send any more, so {so}: "
        "is its disk mounted? Run the same command again when it is; or, if the folder was emptied on "
        f"purpose, with `--files-from {os.devnull}`."
    )
