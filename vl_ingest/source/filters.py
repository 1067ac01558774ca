"""Which files join: decided by the filters of a run, a path, and the file's facts, without a look at the disk."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.formats import MEDIA_TYPES, extension
from vl_ingest.domain.forms import duration_text, size_text
from vl_ingest.domain.model import Facts
from vl_ingest.domain.settings import Settings


class Reason(str):
    """Why something does not join, in the words of a count: `excluded`.

    `filter` is what says so, as it was given: `--exclude private/`.
    """

    __slots__ = ("filter",)
    filter: str

    def __new__(cls, counted: str, said_by: str | None = None) -> Self:  # noqa: D102  # see the class
        reason = super().__new__(cls, counted)
        reason.filter = said_by or counted
        return reason


OTHER_TYPE = "unsupported type"  # how that reason begins
HIDDEN = Reason("hidden", "hidden files and folders")
DEEP = Reason("in folders (--no-recursive)", "--no-recursive")


class Filters:
    """The filters of a run. Each method returns why something is left out, or None: it joins.

    Paths are relative to the source. A file is decided on by its path as a whole, whether a walk came to it, a list
    names it, or the ledger knows it from an earlier run. `excluded` are more patterns like those of `--exclude`, each
    with its filter; only files changed after `newer_than_ns` (since 1970) join, with None all do.
    """

    def __init__(
        self, settings: Settings, excluded: Iterable[tuple[str, str]] = (), newer_than_ns: int | None = None
    ) -> None:
        given = [(pattern, f"--exclude {pattern}") for pattern in settings.exclude]
        self._excluded = _Exclusions([*excluded, *given])
        self._included = matcher(settings.include)
        self._not_included = Reason(
            "not included", " ".join(f"--include {pattern}" for pattern in settings.include)
        )
        self._listed = settings.files_from is not None  # what a list names is neither hidden nor too deep
        self._recursive = settings.recursive
        self._least, self._most = settings.min_size_bytes, settings.max_size_bytes
        self._newer_than_ns = newer_than_ns
        self._age_s = settings.newer_than_s
        # A type that an --include names by its extension is wanted, whatever the documented formats.
        named = map(extension, settings.include)
        self._types = {*MEDIA_TYPES, *(ending for ending in named if ending.isascii() and ending)}

    @property
    def by_facts(self) -> bool:
        """Whether a file's size or time of change counts."""
        return not (self._least is None and self._most is None and self._newer_than_ns is None)

    def folder(self, path: str) -> Reason | None:
        """Decide whether a folder is gone into."""
        if is_hidden(path):
            return HIDDEN
        return self._excluded.of(path + "/") if self._recursive else DEEP

    def file(self, path: str, facts: Facts | None = None) -> Reason | None:
        """Decide whether a file joins; without `facts`, by its path alone."""
        if not self._listed:
            if is_hidden(path):
                return HIDDEN
            if not self._recursive and "/" in path:
                return DEEP
        if (reason := self._excluded.of(path)) is not None:
            return reason
        if self._included is not None and not self._included(path):
            return self._not_included
        if not self.is_wanted_type(path):
            ending = extension(path)
            short = ending if len(ending) <= 10 and ending.isprintable() else "other"
            return Reason(f"{OTHER_TYPE} ({short or 'no extension'})")
        return None if facts is None else self.facts(facts)

    def facts(self, facts: Facts) -> Reason | None:
        """Decide by a file's size and time of change alone."""
        if self._least is not None and facts.size_bytes < self._least:
            return Reason("too small", f"--min-size {size_text(self._least)}")
        if self._most is not None and facts.size_bytes > self._most:
            return Reason("too large", f"--max-size {size_text(self._most)}")
        if self._newer_than_ns is not None and facts.mtime_ns <= self._newer_than_ns:
            return Reason("too old", f"--newer-than {duration_text(self._age_s or 0)}")
        return None

    def is_wanted_type(self, name: str) -> bool:
        """Return whether a name is one of a file that may join."""
        return extension(name) in self._types


class _Exclusions:
    """Patterns, as in one .gitignore, each with its filter."""

    def __init__(self, patterns: Sequence[tuple[str, str]]) -> None:
        self._filters = [said_by for _, said_by in patterns]
        self._spec = _spec([pattern for pattern, _ in patterns]) if patterns else None
        # Only with such a one may a file join whose folder is left out; the walk would not come to it.
        self._negated = any(pattern.startswith("!") for pattern, _ in patterns)

    def of(self, path: str) -> Reason | None:
        """Return what leaves out a path, itself or with a folder around it; a folder's ends with a slash."""
        if self._spec is None:
            return None
        around = [at for at, char in enumerate(path[:-1]) if char == "/"] if self._negated else ()
        for part in (*(path[: at + 1] for at in around), path):
            if self._spec.match_file(part):
                number = self._spec.check_file(part).index
                return Reason("excluded", self._filters[number])
        return None


def is_hidden(path: str) -> bool:
    """Return whether a path is of a hidden file, or leads through a hidden folder."""
    return path.startswith(".") or "/." in path


def matcher(patterns: Sequence[str]) -> Callable[[str], Any] | None:
    """Return a test of relative paths against globs, in the way of .gitignore; None without any.

    Raises `UsageError` for what is no pattern.
    """
    return _spec(patterns).match_file if patterns else None


def _spec(patterns: Sequence[str]) -> Any:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as exc:
        raise UsageError(f"{exc}. Patterns are written as in .gitignore.") from exc
