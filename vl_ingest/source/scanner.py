"""What of a source a run sends: the walk or the list of files, counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.model import UNSEEN, Facts, FileState, Found
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
        """Walk; but for the beginning in a process of its own, if there may be one."""
        begun: set[str] = set()
        for item in self._source.walk(self._filters):
            if len(begun) == BEGINNING:
                break
            yield item
            if self.beside:
                begun.add(item.path)
        else:
            return
        left_out = self.left_out.copy()
        try:
            yield from self._rest(beside.walk(self._source, self._filters), begun)
        except beside.Died:  # then here: what has been found is found again
            self.left_out = left_out
            yield from self._rest(self._source.walk(self._filters), begun)

    def _rest(self, walk: Iterator[Found | LeftOut], begun: set[str]) -> Iterator[Found | LeftOut]:
        """Yield of a second walk what the first one has not come to.

        What that one saw has to be there still, or be gone: a disk that was away for a moment left an empty folder.
        """
        self.unread.clear()  # it comes to these again
        missed = begun.copy()
        for item in walk:
            missed.discard(item.path)
            if item.path not in begun or (isinstance(item, LeftOut) and item.unread):
                yield item
        if not self._source.is_there() or any(map(self._is_still_there, missed)):
            yield LeftOut("", "was away while it was walked through", unread=True)

    def _is_still_there(self, path: str) -> bool:
        try:
            self._source.look(path)
        except FileTrouble as trouble:
            return trouble.state != FileState.MISSING
        return True

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
