"""Whose addition was it? The server's own list of the dataset, begun after all was over, searched for the names that it sent."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from vl_ingest.additions.evidence import Names, Sight
from vl_ingest.domain.errors import Conflict, GaveUp, NotAvailable
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.formats import VIDEOS, extension
from vl_ingest.domain.model import Batch, FileState
from vl_ingest.domain.remote import ListedMedium, MediumKind
from vl_ingest.proof.dataset import candidates
from vl_ingest.proof.listing import csv_media, export_media, export_total
from vl_ingest.run.asking import Asking
from vl_ingest.run.export import By, fetched

TOGETHER = 1000  # media that are compared at once


NAMED = 100  # names on record of those that a list has not


@dataclass(frozen=True)
class Searched(Names):
    """The same, and which names are not there."""

    missing: frozenset[str] = frozenset()


def look_up(asking: Asking, dataset_id: str, batch: Batch, now: Sight) -> Searched | None:
    """Return what the server lists of the names of a batch, and record it; None where its list can't be had.

    `now` is what the server showed when it had stood still: a list that does not agree with its counts is not complete.
    """
    wanted = {file.sent_as for file in batch.files if extension(file.sent_as) not in VIDEOS}
    if not wanted:
        return None
    for by in By:
        try:
            with fetched(asking, dataset_id, by, anew=True) as got:
                if got is None:
                    continue
                search = _Search(wanted, asking.ledger.additions.may_come_again(asking.job.id))
                search.go_through(asking, export_media(got[0]) if by is By.EXPORT else csv_media(got[0]))
                total = export_total(got[0]) if by is By.EXPORT else None
                names = search.result(now, total, anything_sent=_anything_sent(asking))
                told = {"missing": sorted(names.missing)[:NAMED]} if names.found and names.missing else {}
                asking.note(
                    EventKind.ADDITION_LOOKED_UP, batch=batch.id, by=by.name.lower(), digest=got[1].sha256,
                    items=search.items, wanted=names.wanted, found=names.found, twice=names.twice, complete=names.complete,
                    **told,
                )  # fmt: skip
                return names
        except NotAvailable as exc:
            asking.not_available(by, exc)
        except (Conflict, GaveUp):  # not now
            continue
    return None


def _anything_sent(asking: Asking) -> bool:
    return asking.ledger.files.counts(asking.job.id)[FileState.SENT] > 0


@dataclass
class _Search:
    """A list that is read once: how often it has each name of the `wanted` and of the `doubted`, and how much of what else.

    `doubted` are names that were sent more than once, and so may come again. `known` media were sent earlier, `others` not by
    this job; `unnamed` ones could be anything.
    """

    wanted: set[str]
    doubted: set[str]
    items: int = 0
    images: int = 0
    unnamed: int = 0
    others: int = 0
    known: bool = False
    found: Counter[str] = field(default_factory=Counter)

    def go_through(self, asking: Asking, listed: Iterable[ListedMedium]) -> None:
        media = iter(listed)
        while chunk := list(islice(media, TOGETHER)):
            unlike: list[set[str]] = []
            for medium in chunk:
                self.items += 1
                if medium.kind == MediumKind.FRAME:
                    continue
                self.images += 1
                names = {name for name in candidates(medium) if name}
                self.unnamed += not names
                looked_for = names & (self.wanted | self.doubted)
                self.found.update(looked_for)
                if not looked_for:
                    unlike.append(names)
            ours = asking.ledger.listing.sent(asking.job.id, set().union(*unlike)).keys()
            self.known = self.known or bool(ours)
            self.others += sum(not names & ours for names in unlike)

    def result(self, now: Sight, total: int | None, *, anything_sent: bool) -> Searched:
        whole, frames = total is None or total == self.items, self.items - self.images
        counted = now.media is not None and (
            self.items == now.media or (frames and self.images == now.n_images)
        )
        known = self.known or not self.doubted.isdisjoint(self.found) or not anything_sent
        found = [count for name, count in self.found.items() if name in self.wanted]
        # A video may have come with any number of frames.
        spare = None if frames else self.others + self.found.total() - len(self.found)
        complete = bool(whole and counted and not self.unnamed and known)
        twice, missing = sum(count > 1 for count in found), frozenset(self.wanted - self.found.keys())
        return Searched(len(self.wanted), len(found), twice, complete, spare, missing)
