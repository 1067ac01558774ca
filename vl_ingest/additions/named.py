"""Whose addition was it? The server's own list of the dataset, searched for the names that an addition sent."""

from collections.abc import Iterable
from itertools import islice

from vl_ingest.domain import words
from vl_ingest.domain.errors import Conflict, GaveUp, NotAvailable
from vl_ingest.domain.model import FileRow
from vl_ingest.domain.remote import ListedMedium
from vl_ingest.proof.dataset import candidates
from vl_ingest.proof.listing import csv_media, export_media
from vl_ingest.run.asking import Asking
from vl_ingest.run.export import By, fetched

TOGETHER = 1000  # media that are compared at once


def listed(asking: Asking, dataset_id: str, files: Iterable[FileRow]) -> int | None:
    """Return how many of these files the server lists by name; None where its list does not tell.

    Names are ours alone; that none is there is believed only of a list that names what was sent earlier.
    """
    wanted = {file.sent_as for file in files}
    for by in By:
        try:
            with fetched(asking, dataset_id, by) as got:
                if got is None:
                    continue
                media = export_media(got[0]) if by is By.EXPORT else csv_media(got[0])
                found, known = _search(asking, media, wanted)
                return len(found) if found or known else None
        except NotAvailable as exc:
            asking.not_available(by, exc)
        except (Conflict, GaveUp) as exc:
            asking.missing[by] = words.clause(exc)
    return None


def _search(asking: Asking, media: Iterable[ListedMedium], wanted: set[str]) -> tuple[set[str], bool]:
    """Return which of the wanted names are there, and whether the list names a file that was sent earlier."""
    found: set[str] = set()
    known = False
    media = iter(media)
    while chunk := list(islice(media, TOGETHER)):
        names = {name for medium in chunk for name in candidates(medium)}
        found |= names & wanted
        known = known or bool(asking.ledger.listing.sent(asking.job.id, names - wanted))
    return found, known
