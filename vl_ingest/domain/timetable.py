"""What `--bwlimit` says: a rate, or the times of day or week from which rates hold."""

import re
from datetime import datetime

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import parse_size

LEAST_BYTES_PER_S = 1024
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_ENTRY = re.compile(r"(?:([a-z]{3})-)?(\d{1,2}):(\d{2}),(\S+)", re.IGNORECASE)


class Timetable:
    """What `--bwlimit` says: a rate (`8M`), or the times of day or week from which rates hold.

    A table is entries between spaces, as `08:00,1M 19:00,off` or `Mon-08:00,1M Fri-19:00,off`, in local time; each
    holds until the next. Raises `UsageError` for anything else.
    """

    def __init__(self, text: str | None) -> None:
        self._entries: list[tuple[int, float | None]] = []  # (minute of the week, bytes a second), in order
        self._always: float | None = None
        if text is None:
            return
        if "," not in text:
            self._always = parse_rate(text)
            return
        for word in text.split():
            match = _ENTRY.fullmatch(word)
            day = (match[1] or "").lower() if match else ""
            if match is None or int(match[2]) > 23 or int(match[3]) > 59 or (day and day not in DAYS):
                raise UsageError(f'{word!r} is not an entry of a timetable. Example: "08:00,1M 19:00,off".')
            minute, rate = int(match[2]) * 60 + int(match[3]), parse_rate(match[4])
            days = [DAYS.index(day)] if day else range(7)
            self._entries += [(number * _DAY_MINUTES + minute, rate) for number in days]
        self._entries.sort()

    @property
    def unlimited(self) -> bool:
        """Whether there is never a limit."""
        return not self._entries and self._always is None

    def rate(self, at: datetime) -> float | None:
        """Return the bytes a second that may go at a local time; None: as many as can."""
        if not self._entries:
            return self._always
        minute = at.weekday() * _DAY_MINUTES + at.hour * 60 + at.minute
        begun = [rate for begin, rate in self._entries if begin <= minute]
        return begun[-1] if begun else self._entries[-1][1]  # the last of the week before


def parse_rate(text: str) -> float | None:
    """Return the bytes a second that `8M`, `1.5MiB/s` or `500kB` mean; None for `off` or `0`.

    Raises `UsageError` for anything else, and for rates that can only be a slip.
    """
    plain = text.strip().lower().removesuffix("/s")
    if plain in ("off", "0"):
        return None
    try:
        rate = parse_size(plain)
    except UsageError as exc:
        raise UsageError(f"{text!r} is not a rate. Examples: 8M (MiB per second), 500K, off.") from exc
    if rate < LEAST_BYTES_PER_S:
        raise UsageError(
            f"{text!r} would be {rate} bytes per second. For KiB write {plain}K, for MiB {plain}M."
        )
    return float(rate)


def parse_bwlimit(text: str | int) -> str:
    """Return the text of a rate or timetable, if it is one; a number is bytes a second. Raises `UsageError`."""
    text = str(text)
    Timetable(text)
    return text
