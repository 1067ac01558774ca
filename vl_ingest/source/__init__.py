"""Where the files come from: what can be walked, looked at and opened by relative path.

Imports `domain`, `clock` and `program`. `Source` is the seam: no other room chooses a kind of source, or joins a path to one.
`addresses` gives the source that somebody names; `folder.Folder` is the one kind there is. `scanner.Scanner` finds what a run
sends, `beside` walks in a process of its own. Couriers in other processes open files by `Source.folder`, where there is one.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from vl_ingest.domain.model import Facts, Found
from vl_ingest.domain.opening import Opener
from vl_ingest.source.filters import Filters


class LeftOut(NamedTuple):
    """A file that does not join, or a folder with all that is in it. `unread`: nobody knows what that is."""

    path: str
    reason: str
    unread: bool = False


class Source(Opener, Protocol):
    """Files by their path relative to the source, with `/` between its parts; for any number of threads."""

    @property
    def address(self) -> str:
        """What the ledger calls it: one for all spellings, and enough to come back to it in another process."""

    @property
    def folder(self) -> str | None:
        """Where other processes of this host find each file under its path; None: nowhere."""

    def is_there(self) -> bool:
        """Return whether it is still there, and the one that it was at first: its disk may be gone."""

    def walk(self, filters: Filters) -> Iterator[Found | LeftOut]:
        """Yield all there is, in an order that depends on names alone; `filters` decide what joins."""

    def look(self, path: str) -> Facts:
        """Return what a file is now. Raises `FileTrouble` for one that can't be sent."""

    def path_of(self, name: str) -> str | None:
        """Return the path of a file that a person names, relative to the source or in full; None outside of it."""
