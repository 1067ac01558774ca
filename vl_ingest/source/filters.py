"""Which files join: decided by the filters of a run and a path alone, without a look at the disk."""

from collections.abc import Callable, Sequence
from typing import Any

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.formats import MEDIA_TYPES, extension
from vl_ingest.domain.settings import Settings


class Filters:
    """The filters of a run. Each method returns in words why something is left out, or None: it joins.

    Paths are relative to the source. A file is decided on by its path as a whole, whether a walk came to it, a list
    names it, or the ledger knows it from an earlier run.
    """

    def __init__(self, settings: Settings) -> None:
        self._included = matcher(settings.include)
        self._excluded = matcher(settings.exclude)
        self._listed = settings.files_from is not None  # what a list names is neither hidden nor too deep
        self._recursive = settings.recursive
        # A type that an --include names by its extension is wanted, whatever the documented formats.
        named = map(extension, settings.include)
        self._types = {*MEDIA_TYPES, *(ending for ending in named if ending.isascii() and ending)}

    def folder(self, path: str) -> str | None:
        """Decide whether a folder is gone into."""
        if _hidden(path):
            return "hidden"
        if not self._recursive:
            return "in folders (--no-recursive)"
        return "excluded" if self._excluded is not None and self._excluded(path + "/") else None

    def file(self, path: str) -> str | None:
        """Decide whether a file joins."""
        if not self._listed:
            if _hidden(path):
                return "hidden"
            if not self._recursive and "/" in path:
                return "in folders (--no-recursive)"
        if self._excluded is not None and self._excluded(path):
            return "excluded"
        if self._included is not None and not self._included(path):
            return "not included"
        if not self.is_wanted_type(path):
            ending = extension(path)
            short = ending if len(ending) <= 10 and ending.isprintable() else "other"
            return f"unsupported type ({short or 'no extension'})"
        return None

    def is_wanted_type(self, name: str) -> bool:
        """Say whether a name is one of a file that may join."""
        return extension(name) in self._types


def _hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def matcher(patterns: Sequence[str]) -> Callable[[str], Any] | None:
    """Return a test of relative paths against globs, in the way of .gitignore; None without any.

    Raises `UsageError` for what is no pattern.
    """
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns).match_file
    except ValueError as exc:
        raise UsageError(f"{exc}. Patterns are written as in .gitignore.") from exc
