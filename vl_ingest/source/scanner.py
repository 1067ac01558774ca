"""What of a source a run sends: the walk or the list of files, counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.model import UNSEEN, Facts, Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.settings import Settings
from vl_ingest.source import LeftOut, Source, beside
from vl_ingest.source.filters import Filters, Reason
from vl_ingest.source.listing import Paths, read_list, read_patterns

BEGINNING = 2000  # entries: a source with more is a large one


class Scanner:
    """One scan of a source; close it. `at` is the moment from which `--newer-than` counts back.

    Attributes:
        left_out: why files did not join -> how many.
        unread: folders that could not be read, with the reason; with any, the scan is not complete.
        beside: whether a process of its own may walk through a large source; for filters without patterns.

    """

    def __init__(self, source: Source, settings: Settings, at: datetime) -> None:
        self.left_out: Counter[str] = Counter()
        self.unread: list[str] = []
        self.beside = False
        self._source = source
        self._list = settings.files_from
        self._kept: Paths | None = None
        excluded = [
            (pattern, f"--exclude-from {path_to_text(path)}: {pattern}")
            for path in settings.exclude_from
            for pattern in read_patterns(path)
        ]
        age_s = settings.newer_than_s
        newer_than_ns = None if age_s is None else int((at.timestamp() - age_s) * 1e9)
        self._filters = Filters(settings, excluded, newer_than_ns)

    def close(self) -> None:
        """Forget the list."""
        if self._kept is not None:
            self._kept.close()

    def keep_list(self) -> None:
        """Read the list, if there is one, to its end: what it does not name is decided on too."""
        if self._list is not None and self._kept is None:
            self._kept = Paths()
            for path in self._paths(read_list(self._list)):
                self._kept.add(path)

    @property
    def names_nothing(self) -> bool:
        """Whether the list that is kept is empty."""
        return self._kept is not None and next(iter(self._kept), None) is None

    def found(self, check: Callable[[], None] = lambda: None) -> Iterator[Found]:
        """Yield the files that join, in the order of the walk or of the list.

        `check` is called for everything that is come to, joining or not; what it raises ends the walk.
        """
        for item in self._items():
            check()
            if isinstance(item, Found):
                yield item
            elif item.unread:
                self.unread.append(f"{path_to_text(item.path) or '.'} ({item.reason})")
            else:
                self.left_out[str(item.reason)] += 1

    def reason(self, path: str, facts: Facts, *, look: bool) -> Reason | None:
        """Return why the filters leave out a file that is known with these facts; None: they let it in.

        With `look` the facts are those on disk, where the filters ask for them and the file is there. The list, if
        there is one, must be kept.
        """
        if self._kept is not None and path not in self._kept:
            return Reason("not listed", f"--files-from {path_to_text(self._list or '')}")
        if self._filters.by_facts and look:
            facts = self._facts(path, facts)
        return self._filters.file(path, None if facts == UNSEEN else facts)

    def _items(self) -> Iterator[Found | LeftOut]:
        if self._list is None:
            yield from self._walk()
            return
        for path in self._paths(read_list(self._list)) if self._kept is None else self._kept:
            reason = self._filters.file(path)
            facts = UNSEEN if reason else self._facts(path, UNSEEN)
            if reason is None and facts != UNSEEN:
                reason = self._filters.facts(facts)
            yield Found(path, facts) if reason is None else LeftOut(path, reason)

    def _walk(self) -> Iterator[Found | LeftOut]:
        """Walk; but for the beginning in a process of its own, if there may be one.

        That one begins at the source itself. Where it does not come to all that has been seen, a disk may have been
        away for a moment, and have left an empty folder: then the first walk goes on, which knows what it has yet to see.
        """
        first = self._source.walk(self._filters)
        if not self.beside:
            yield from first
            return
        begun: set[str] = set()
        for item in first:
            if len(begun) == BEGINNING:
                break
            begun.add(item.path)
            yield item
        else:
            return
        left_out, unread = self.left_out.copy(), self.unread.copy()
        missed = {*begun, item.path}
        self.unread.clear()  # it comes to these again
        with suppress(beside.Died):
            for other in beside.walk(self._source, self._filters):
                missed.discard(other.path)
                if other.path not in begun or (isinstance(other, LeftOut) and other.unread):
                    yield other
            if not missed:
                return
        self.left_out, self.unread = left_out, unread  # what was found is found again
        yield item
        yield from first

    def _paths(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            path = self._source.path_of(name)
            if path is None:
                where = path_to_text(self._source.address)
                raise UsageError(f"The list names {path_to_text(name)}, which is not in {where}.")
            yield path

    def _facts(self, path: str, otherwise: Facts) -> Facts:
        try:
            return self._source.look(path)
        except FileTrouble as trouble:  # it joins, and its turn will tell
            return trouble.facts or otherwise
