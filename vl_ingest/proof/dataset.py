"""Is every file that was sent in the dataset? The server's own list, held against the ledger name by name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from typing import BinaryIO

from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, compared
from vl_ingest.domain.errors import Conflict, Differs, LedgerError, NotAvailable
from vl_ingest.domain.formats import VIDEOS, extension
from vl_ingest.domain.model import FileState
from vl_ingest.domain.remote import Listed, ListedMedium, MediumKind
from vl_ingest.ledger.listing import Seen, Tally
from vl_ingest.proof.listing import csv_media, export_media, export_total
from vl_ingest.run.asking import Asking
from vl_ingest.run.context import Context
from vl_ingest.run.export import By, fetched

NAME = "dataset"
MISSING = "is missing from the dataset"
TOGETHER = 1000  # media, or files, that are compared at once

TellDifference = Callable[
    [str, str], None
]  # the path of a file (or the name of what is none), and what is wrong


def verify_dataset(asking: Asking, differs: TellDifference) -> Check:
    """Ask for each file, keep what the server says in the ledger, and return what it comes to.

    `differs` is told of each file that is not there once, and of what was not sent.
    """
    try:
        found = list_dataset(asking, differs)
    except Conflict as exc:
        return compared(NAME, None, f"The server can't list the dataset now: {words.clause(exc)}.")
    except LedgerError as exc:  # nothing is asked whose answer can't be kept
        return compared(NAME, None, f"Not asked, or not kept: {words.clause(exc)}.")
    if found is None:
        text = f"The server does not list what is in the dataset ({why_not(asking)})."
        return compared(NAME, None, text)
    facts = asdict(found)
    sent = asking.ledger.files.counts(asking.job.id)[FileState.SENT]
    facts |= {"in_dataset": facts.pop("files"), "sent": sent}
    return compared(NAME, found.whole, f"{found}.", **facts)


def confirm(context: Context) -> None:
    """Ask for each file of a job that is ready, and keep what the server says.

    Where it can't be asked, or has more than was sent, that is told. Raises `Differs` where a file is missing, `GaveUp`
    without an answer.
    """
    job, observer = context.reload(), context.observer
    asking = replace(context.asking, job=job)

    def tell(path: str, why: str) -> None:
        if why == MISSING:
            observer.file_error(path, FileState.SENT, why)

    try:
        with context.waiting("Asking the server for its own list of the dataset."):
            found = list_dataset(asking, tell)
    except Conflict as exc:
        observer.notice(
            "warning", f"The server can't list the dataset now, so nothing is confirmed: {words.clause(exc)}."
        )
        return
    if found is None:
        text = (
            f"The server does not list what is in the dataset, so nothing is confirmed ({why_not(asking)})."
        )
        observer.notice("warning", text)
    elif found.missing:
        raise Differs(
            f"{found}. The job stays ready; `vl-ingest verify {job.id}` asks again and names each file."
        )
    elif not found.whole:
        observer.notice("warning", f"{found}. `vl-ingest verify {job.id}` names each.")


def why_not(asking: Asking) -> str:
    """Return in words why there is no list."""
    return "; ".join(f"{what}: {words.clause(why)}" for what, why in asking.missing.items()) or "no answer"


def list_dataset(asking: Asking, differs: TellDifference) -> Listed | None:
    """Read the server's list of the job's dataset, and keep what it says; None where the server gives none.

    Raises `Conflict` where the dataset is in no state for it, `GaveUp` where the server gives no answer.
    """
    dataset_id = asking.job.dataset_id
    if dataset_id is None:
        return None
    for by in By:
        with fetched(asking, dataset_id, by) as got, closing(Tally()) as tally:
            if got is None:
                continue
            file, received = got
            found = Listed(by.name.lower(), received.sha256)
            try:
                loose = _count(
                    asking, tally, found, export_media(file) if by is By.EXPORT else csv_media(file)
                )
                if by is By.EXPORT:
                    _check_whole(file, found)
            except NotAvailable as exc:
                asking.not_available(by, exc)
                continue
            # Of a video only frames are listed; where these can't be told from the rest, it may be there all the same.
            _hold_against(asking, tally, found, differs, blind=loose or by is By.IDS)
            return found
    return None


def _count(asking: Asking, tally: Tally, found: Listed, media: Iterator[ListedMedium]) -> bool:
    """Take up the whole list; return whether there are frames of which nobody can say whose they are."""
    loose = False
    while chunk := list(islice(media, TOGETHER)):
        names = {name for medium in chunk for name in candidates(medium)}
        known = asking.ledger.listing.sent(asking.job.id, names)
        files: list[tuple[int, str | None]] = []
        frames: list[tuple[tuple[int, ...], str]] = []
        others: list[str] = []
        for medium in chunk:
            found.items += 1
            whose = place(medium, known)
            if whose is None:
                loose = True
            elif isinstance(whose, int):
                files.append((whose, medium.media_id))
            elif isinstance(whose, tuple):
                frames.append((whose, _last(medium.path)))
            else:
                others.append(whose)
        tally.add(files)
        tally.add_frames(frames)
        tally.add_others(others)
    return loose


def _check_whole(file: BinaryIO, found: Listed) -> None:
    """Raise `NotAvailable` for an export that names fewer media than it says that there are."""
    total = export_total(file)
    if total is not None and found.items < total:
        raise NotAvailable(f"it names {found.items:,} of {total:,} media")


def _hold_against(
    asking: Asking, tally: Tally, found: Listed, differs: TellDifference, *, blind: bool
) -> None:
    """Compare what was counted with what was sent, and keep the answer; `blind`: a video that is not found may be there."""
    unclear = tally.settle_frames()
    for path, seen in _answers(asking, tally, unclear, blind=blind):
        if seen.listed is None:
            found.unclear += 1
            continue
        found.files += bool(seen.listed)
        if not seen.listed:
            found.missing += 1
            differs(path, MISSING)
        elif seen.listed > 1:
            found.twice += 1
            differs(path, f"is in the dataset {'twice' if seen.listed == 2 else f'{seen.listed:,} times'}")
    for name in tally.others():
        found.unexpected += 1
        differs(name, "is in the dataset, and was not sent by this job")
    answers = (seen for _, seen in _answers(asking, tally, unclear, blind=blind))
    asking.ledger.listing.record(asking.job.id, asking.run, answers, found)


def _answers(asking: Asking, tally: Tally, unclear: set[int], *, blind: bool) -> Iterator[tuple[str, Seen]]:
    """Yield each sent file's path, and what the list says of it."""
    after = 0
    while rows := asking.ledger.files.page(asking.job.id, FileState.SENT, after, TOGETHER):
        counted = tally.of([row.id for row in rows])
        for row in rows:
            count, media_id = counted.get(row.id, (0, None))
            if row.id in unclear or (not count and blind and extension(row.sent_as) in VIDEOS):
                yield row.path, Seen(row.id, None, None)
            else:
                yield row.path, Seen(row.id, count, media_id)
        after = rows[-1].id


def candidates(medium: ListedMedium) -> Iterator[str]:
    """Yield the names under which the file of a medium may have been sent."""
    if medium.kind != MediumKind.FRAME:
        yield _last(medium.path)
        yield medium.name
    if medium.kind != MediumKind.IMAGE and (folder := _last(_folder(medium.path))):
        yield folder
        yield from _of_stem(folder)


def place(medium: ListedMedium, known: Mapping[str, int]) -> int | tuple[int, ...] | str | None:
    """Return whose a medium is: a file's; as a frame one of several videos'; nobody's (a name); None: nobody can say.

    `known` are the names that were sent -> their files.
    """
    own = known.get(_last(medium.path), known.get(medium.name))
    if medium.kind == MediumKind.IMAGE:
        return medium.path if own is None else own
    folder = _last(_folder(medium.path))
    exact = folder in known and extension(folder) in VIDEOS
    names = [folder] if exact else list(_of_stem(folder)) if folder else []
    videos = tuple(sorted({known[name] for name in names if name in known}))
    if medium.kind == MediumKind.FRAME:
        return videos or _folder(medium.path) or None
    if videos and (exact or own is None):
        return videos
    return medium.path if own is None else own


def _of_stem(folder: str) -> Iterator[str]:
    """Yield the names of videos whose frames may lie below their name without its extension."""
    for ending in VIDEOS:
        yield folder + ending
        yield folder + ending.upper()


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
