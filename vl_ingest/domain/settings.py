"""Settings of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import MOST_WORKERS, duration_text, size_text
from vl_ingest.domain.model import OnRejected, OnUnknown


@dataclass(frozen=True)
class Settings:
    """What a run is told; every field is an option of `vl-ingest run`, with this default; `_s` are seconds."""

    batch_size: int = 50  # files a request, at most; the vendor's own figure
    batch_bytes: int = 64 * 1024**2  # bytes of files a request, at most; a larger file goes alone
    workers: int | None = None  # requests at once, 1 to 64; None: as many as pay
    include: tuple[str, ...] = ()  # patterns as in .gitignore: only files that match one; (): all
    exclude: tuple[str, ...] = ()  # the same: no file and no folder that matches one
    exclude_from: tuple[str, ...] = ()  # paths of files with such patterns, one a line, read at each run
    min_size_bytes: int | None = None  # no smaller file; None: any
    max_size_bytes: int | None = None  # no larger file; None: any
    newer_than_s: float | None = (
        None  # only files changed so long before the job was told this, or later; None: all
    )
    files_from: str | None = None  # path of a list of files, which alone are sent; "-": standard input
    recursive: bool = True  # whether to go into folders
    on_rejected: OnRejected = OnRejected.HOLD  # what to do about files that the server rejects
    on_unknown: OnUnknown = OnUnknown.RESEND  # what to do about files that may have been delivered
    settle_s: float = 30.0  # the status stands still for so long: processing has not begun
    give_up_after_s: float = 86400.0  # without a success for so long: the run ends
    first_contact_s: float = (
        120.0  # a job that has never had an answer gives up after so long, if that is less
    )
    max_duration_s: float | None = None  # after so long the run stops cleanly; None: never
    bwlimit: str | None = None  # bytes a second or a timetable, as `pace.Timetable` reads it; None: no limit
    stall_after_s: float = 600.0  # no byte moved for so long: a warning; 0: never
    wait: bool = True  # whether to watch until the dataset is ready

    def __post_init__(self) -> None:
        """Raise `UsageError` for a number that can't be."""
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(
                f"Invalid number of workers: {self.workers}. It is None, or from 1 to {MOST_WORKERS}."
            )
        least = {
            "batch_size": 1,
            "batch_bytes": 1,
            "min_size_bytes": 0,
            "max_size_bytes": 0,
            "newer_than_s": 0,
            "settle_s": 0,
            "give_up_after_s": 0,
            "first_contact_s": 0,
            "stall_after_s": 0,
        }
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UsageError(f"{name} is {value}, and must be at least {smallest}.")
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
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k in known
        }
        for key, kind in (("on_rejected", OnRejected), ("on_unknown", OnUnknown)):
            if key in values:
                values[key] = kind(values[key])
        return cls(**values)

    @classmethod
    def of_job(cls, record: Mapping[str, Any]) -> "Settings":
        """Return what a job goes on with: the settings it had, but for the time limit, which was one run's."""
        return replace(cls.from_record(record), max_duration_s=None)


def option_text(field: str, value: Any) -> str:
    """Return a setting on record as it is written on the command line: `--settle 30s`, `--no-recursive`."""
    flag = "--" + field.removesuffix("_s").replace("_size_bytes", "_size").replace("_", "-")
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if value in (None, []):
        return f"{flag} auto" if field == "workers" else f"no {flag}"
    if isinstance(value, list):
        return " ".join(f"{flag} {item}" for item in value)
    if isinstance(value, int | float) and field.endswith(("_s", "_bytes")):
        value = duration_text(value) if field.endswith("_s") else size_text(int(value))
    return f"{flag} {value}"
