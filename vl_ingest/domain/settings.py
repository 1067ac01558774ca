"""Settings of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import MOST_WORKERS
from vl_ingest.domain.model import OnRejected, OnUnknown


@dataclass(frozen=True)
class Settings:
    """What a run is told; every field is an option of `vl-ingest run`. Kept in the ledger without secrets."""

    batch_size: int = 50  # files a request; the vendor's own figure
    batch_bytes: int = 64 * 1024**2
    workers: int | None = None  # requests at once; None: as many as pay
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    files_from: str | None = None
    recursive: bool = True
    on_rejected: OnRejected = OnRejected.HOLD
    on_unknown: OnUnknown = OnUnknown.RESEND
    settle_s: float = 30.0
    give_up_after_s: float = 86400.0
    max_duration_s: float | None = None
    bwlimit: str | None = None  # a rate or a timetable, as `pace.Timetable` reads it
    stall_after_s: float = 600.0  # 0: never
    wait: bool = True

    def __post_init__(self) -> None:
        """Raise `UsageError` for a number that can't be."""
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"{self.workers} is no number of workers: from 1 to {MOST_WORKERS}, or None.")
        for name, least in (
            ("batch_size", 1),
            ("batch_bytes", 1),
            ("settle_s", 0),
            ("give_up_after_s", 0),
            ("stall_after_s", 0),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, and must be {least} at least.")

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
