"""Settings of a run."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Generic, TypeVar

from vl_ingest.domain.choices import Changed, OnRejected, OnUnknown, Reindex
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import (
    MOST_FILES,
    duration_text,
    parse_add_files,
    parse_batch_size,
    parse_choice,
    parse_duration,
    parse_field,
    parse_list,
    parse_path_elsewhere,
    parse_paths,
    parse_patterns,
    parse_processes,
    parse_scheduler,
    parse_size,
    parse_switch,
    parse_workers,
    read_option,
    size_text,
)
from vl_ingest.domain.timetable import parse_bwlimit

Given = TypeVar("Given")
Value = TypeVar("Value")


class _Setting(Generic[Given, Value]):
    """A field of `Settings`, which is given in any form that its option takes, and then is a value of one type."""

    def __init__(self, default: Value, parse: Callable[[Given], Value]) -> None:
        self._default, self._parse = default, parse

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, settings: object, _owner: type | None = None) -> Value:
        if settings is None:  # the dataclass asks for the default
            return self._default
        value: Value = settings.__dict__[self._name]
        return value

    def __set__(self, settings: object, value: Given) -> None:
        settings.__dict__[self._name] = read_option(flag_of(self._name), self._parse, value)


def _or_none(parse: Callable[[Given], Value]) -> Callable[[Given | None], Value | None]:
    return lambda given: None if given is None else parse(given)


_size_or_none = _or_none(parse_size)
_duration_or_none = _or_none(parse_duration)
_list_or_none = _or_none(parse_list)
_scheduler_or_none = _or_none(parse_scheduler)
_elsewhere_or_none = _or_none(parse_path_elsewhere)
_field_or_none = _or_none(parse_field)
_bwlimit_or_none = _or_none(parse_bwlimit)

_Size = _Setting[str | int, int]
_MaybeSize = _Setting[str | int | None, int | None]
_Duration = _Setting[str | float, float]
_MaybeDuration = _Setting[str | float | None, float | None]
_Path = str | os.PathLike[str]
_Patterns = _Setting[str | Iterable[str], tuple[str, ...]]


@dataclass(frozen=True)
class Settings:
    """What a run is told; every field is an option of `vl-ingest run`, with this default; `_s` are seconds.

    A value may be given as what it is, or as text in any form that the option takes: `Settings(batch_bytes="64M",
    workers="auto", settle_s="30s", on_unknown="hold")`; it is read as what it is: 67108864, None, 30.0, `OnUnknown.HOLD`.
    What the option refuses raises `UsageError` with the same text.
    """

    # fmt: off
    batch_size: _Setting[str | int, int] = _Setting(50, parse_batch_size)  # files a request, 1 to 1000; the vendor's own figure
    batch_bytes: _Size = _Setting(64 * 1024**2, parse_size)  # bytes of files a request, at most; a larger file goes alone
    workers: _Setting[str | int | None, int | None] = _Setting(None, parse_workers)  # requests at once, 1 to 64; None: as many as pay
    processes: _Setting[str | int | None, int | None] = _Setting(None, parse_processes)  # that send for this one, 0 to 64; None: as many as pay
    dask: _Setting[str | None, str | None] = _Setting(None, _scheduler_or_none)  # scheduler of a Dask cluster whose workers send; None: this host sends
    remote_source: _Setting[_Path | None, str | None] = _Setting(None, _elsewhere_or_none)  # the folder on those workers; None: under the same path
    include: _Patterns = _Setting((), parse_patterns)  # patterns as in .gitignore: only files that match one; (): all
    exclude: _Patterns = _Setting((), parse_patterns)  # the same: no file and no folder that matches one
    exclude_from: _Setting[_Path | Iterable[_Path], tuple[str, ...]] = _Setting((), parse_paths)  # paths of files with such patterns, one a line, read at each run
    min_size_bytes: _MaybeSize = _Setting(None, _size_or_none)  # no smaller file; None: any
    max_size_bytes: _MaybeSize = _Setting(None, _size_or_none)  # no larger file; None: any
    newer_than_s: _MaybeDuration = _Setting(None, _duration_or_none)  # only files changed so long before the job was told this, or later; None: all
    files_from: _Setting[_Path | None, str | None] = _Setting(None, _list_or_none)  # path of a list of files, which alone are sent; "-": standard input
    recursive: _Setting[bool, bool] = _Setting(True, parse_switch)  # whether to go into folders
    on_rejected: _Setting[str, OnRejected] = _Setting(OnRejected.HOLD, partial(parse_choice, OnRejected))  # what to do about files that the server rejects
    on_unknown: _Setting[str, OnUnknown] = _Setting(OnUnknown.RESEND, partial(parse_choice, OnUnknown))  # what to do about files that may have been delivered
    settle_s: _Duration = _Setting(30.0, parse_duration)  # the status stands still for so long: processing has not begun
    give_up_after_s: _Duration = _Setting(86400.0, parse_duration)  # without a success for so long: the run ends
    first_contact_s: _Duration = _Setting(120.0, parse_duration)  # a job that has never had an answer gives up after so long, if that is less
    max_duration_s: _MaybeDuration = _Setting(None, _duration_or_none)  # after so long the run stops cleanly; None: never
    bwlimit: _Setting[str | int | None, str | None] = _Setting(None, _bwlimit_or_none)  # bytes a second or a timetable, as `timetable.Timetable` reads it; None: no limit
    stall_after_s: _Duration = _Setting(600.0, parse_duration)  # no byte moved for so long: a warning; 0: never
    wait: _Setting[bool, bool] = _Setting(True, parse_switch)  # whether to watch until the dataset is ready
    confirm: _Setting[bool, bool] = _Setting(False, parse_switch)  # whether to ask the server for each file then
    add: _Setting[bool, bool] = _Setting(False, parse_switch)  # whether to add what is new to the dataset that is ready
    add_bytes: _Size = _Setting(1024**3, parse_size)  # bytes of files an addition, at most; a larger file goes alone
    add_files: _Setting[str | int, int] = _Setting(10_000, parse_add_files)  # files an addition, 1 to 20,000
    reindex: _Setting[str, Reindex] = _Setting(Reindex.AUTO, partial(parse_choice, Reindex))  # whether the dataset is indexed anew after the last addition
    changed: _Setting[str, Changed] = _Setting(Changed.HOLD, partial(parse_choice, Changed))  # what to do about files that were changed after they were sent
    skip_known_content: _Setting[bool, bool] = _Setting(False, parse_switch)  # whether to leave out new files whose content was sent before
    path_field: _Setting[str | None, str | None] = _Setting(None, _field_or_none)  # custom metadata field that gets each file's path; None: none
    folder_field: _Setting[str | None, str | None] = _Setting(None, _field_or_none)  # the same for its folder
    # fmt: on

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that can't go together."""
        if self.batch_bytes < 1:
            raise UsageError(f"Invalid value for '--batch-bytes': {self.batch_bytes} is not at least 1.")
        if self.add_bytes < 1:
            raise UsageError(f"Invalid value for '--add-bytes': {self.add_bytes} is not at least 1.")
        if self.path_field is not None and self.path_field == self.folder_field:
            raise UsageError("--path-field and --folder-field can't be the same field.")
        lower, upper = self.min_size_bytes, self.max_size_bytes
        if lower is not None and upper is not None and lower > upper:
            raise UsageError(
                f"No file has at least {size_text(lower)} and at most {size_text(upper)}: change --min-size or "
                "--max-size."
            )

    def to_record(self) -> dict[str, Any]:
        """Return the settings as JSON's types."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Settings":
        """Return the settings that `to_record` wrote, perhaps by another version of the program."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {key: value for key, value in record.items() if key in known}
        if isinstance(size := values.get("batch_size"), int):  # a program could once give any
            values["batch_size"] = min(size, MOST_FILES)
        return cls(**values)

    @classmethod
    def of_job(cls, record: Mapping[str, Any]) -> "Settings":
        """Return what a job goes on with: the settings it had, but for the time limit, which was one run's."""
        return replace(cls.from_record(record), max_duration_s=None)


def flag_of(field: str) -> str:
    """Return the option that makes a setting: `--settle` for `settle_s`."""
    return "--" + field.removesuffix("_s").replace("_size_bytes", "_size").replace("_", "-")


def option_text(field: str, value: Any) -> str:
    """Return a setting on record as it is written on the command line: `--settle 30s`, `--no-recursive`."""
    flag = flag_of(field)
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if value in (None, []):
        return f"{flag} auto" if field in ("workers", "processes") else f"no {flag}"
    if isinstance(value, list):
        return " ".join(f"{flag} {item}" for item in value)
    if isinstance(value, int | float) and field.endswith(("_s", "_bytes")):
        value = duration_text(value) if field.endswith("_s") else size_text(int(value))
    return f"{flag} {value}"
