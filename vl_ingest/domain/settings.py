"""Settings of a run, and the forms in which people write sizes, durations and addresses."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.model import OnRejected, OnUnknown

MOST_WORKERS = 64
LONGEST_S = 100 * 365 * 86400.0  # more is a slip, and beyond what calendars and waits can take
CLOUD_URL = "https://app.visual-layer.com"

_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([smhd]?)", re.IGNORECASE | re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


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


def parse_size(text: str) -> int:
    """Return the bytes that `64MiB`, `8M`, `1.5 GB` or `4096` mean; a bare letter counts in 1024s.

    Raises `UsageError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size. Write for example 64MiB, 8M or 500000.")
    number, prefix, binary = match[1], (match[2] or "").lower(), match[3]
    thousand = 1000 if prefix and not binary and text.strip().lower().endswith("b") else 1024
    return int(float(number) * thousand ** "kmgt".index(prefix) * thousand) if prefix else int(float(number))


def parse_name(text: str) -> str:
    """Return the name of a dataset, if it is one line of text. Raises `UsageError` for anything else."""
    if not text.strip() or any(
        ord(char) < 32 or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text
    ):
        raise UsageError(f"{text!r} is not a name. Write one line of text, valid as UTF-8.")
    return text


def parse_duration(text: str) -> float:
    """Return the seconds that `90`, `90s`, `15m`, `6h` or `2d` mean. Raises `UsageError` for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration. Write for example 90, 90s, 15m, 6h or 2d.")
    seconds = float(match[1]) * _SECONDS[match[2].lower()]
    if seconds > LONGEST_S:
        raise UsageError(f"{text!r} is more than a hundred years. Write for example 6h or 2d.")
    return seconds


def parse_workers(text: str) -> int | None:
    """Return the number that `4` means, or None for `auto`. Raises `UsageError` for anything else."""
    word = text.strip().lower()
    if word == "auto":
        return None
    if not word.isascii() or not word.isdecimal() or not 1 <= int(word) <= MOST_WORKERS:
        raise UsageError(
            f"{text!r} is no number of workers. Write `auto`, or a number from 1 to {MOST_WORKERS}."
        )
    return int(word)


def normalise_base_url(text: str) -> str:
    """Return the one spelling of a server's base URL: lower-case scheme and host, no default port, no slash.

    Raises `UsageError` for what is not an http(s) URL, or holds a user name or password.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a base URL: {exc}.") from exc
    if parts.scheme.lower() not in ("http", "https") or not host or " " in text.strip():
        raise UsageError(f"{text!r} is not a base URL. Write for example {CLOUD_URL}.")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "A base URL holds no user name and no password; credentials come from the environment."
        )
    if parts.query or parts.fragment:
        raise UsageError(f"{text!r} is more than a base URL: leave out what follows the path.")
    scheme = parts.scheme.lower()
    name = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        name += f":{port}"
    return urlunsplit((scheme, name, parts.path.rstrip("/"), "", ""))
