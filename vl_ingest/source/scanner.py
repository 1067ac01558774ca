"""What of a source a run sends: the walk or the list of files, counted."""

import os
from collections import Counter
from collections.abc import Iterator

from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.model import Facts, Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.settings import Settings
from vl_ingest.source import LeftOut, Source
from vl_ingest.source.filters import Filters


class Scanner:
    """One scan of a source.

    Attributes:
        left_out: why files did not join -> how many.
        unread: folders that could not be read, with the reason; with any, the scan is not complete.

    """

    def __init__(self, source: Source, settings: Settings) -> None:
        self.left_out: Counter[str] = Counter()
        self.unread: list[str] = []
        self._source = source
        self._list = settings.files_from
        self._filters = Filters(settings)

    def found(self) -> Iterator[Found]:
        """Yield the files that join, in the order of the walk or of the list."""
        for item in self._source.walk(self._filters) if self._list is None else self._listed(self._list):
            if isinstance(item, Found):
                yield item
            elif item.unread:
                self.unread.append(f"{path_to_text(item.path) or '.'} ({item.reason})")
            else:
                self.left_out[item.reason] += 1

    def _listed(self, list_path: str) -> Iterator[Found | LeftOut]:
        for name in _read_list(list_path):
            path = self._source.path_of(name)
            if path is None:
                where = path_to_text(self._source.address)
                raise UsageError(f"The list names {path_to_text(name)}, which is not in {where}.")
            reason = self._filters.file(path)
            yield Found(path, self._facts(path)) if reason is None else LeftOut(path, reason)

    def _facts(self, path: str) -> Facts:
        try:
            return self._source.look(path)
        except FileTrouble:  # it joins, and its turn will tell
            return Facts(0, 0)


def _read_list(path: str) -> Iterator[str]:
    """Yield the names in a list file (`-`: standard input): one a line, or separated by NUL bytes."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            rest, separator = b"", b""
            while more := file.read1(65536):  # what is there, without waiting for the rest
                rest += more
                separator = separator or (b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b"")
                if separator:
                    *names, rest = rest.split(separator)
                    yield from (os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip())
            if rest.strip():
                yield os.fsdecode(rest.removesuffix(b"\r"))
    except OSError as exc:
        raise UsageError(f"Can't read the list {path}: {exc.strerror}.") from exc
