"""How numbers and names read: sizes, durations, counts, and text that is safe on a terminal."""

from collections.abc import Mapping
from datetime import datetime

from vl_ingest.domain.naming import path_to_text


def size(count: float) -> str:
    """Return bytes for people, in 1024s: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Return seconds for people: `3 s`, `12 min 05 s`, `4 h 05 min`, `2 d 3 h`, `1 d`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    days, hours = whole // 86400, whole % 86400 // 3600
    return f"{days} d {hours} h" if hours else f"{days} d"


def lasted(seconds: float) -> str:
    """Return measured seconds the same way, but with a tenth where they are few: `0.4 s`."""
    return f"{f'{seconds:.1f}'.removesuffix('.0')} s" if seconds < 9.95 else duration(seconds)


def several(count: int, thing: str) -> str:
    """Return `1 run`, `2,000 runs`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def counted(reasons: Mapping[str, int]) -> str:
    """Return `3 hidden, 1 excluded`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))


def told(value: object) -> str:
    """Return a fact of the record for people: `yes`, `nothing`, `54, 55`, `sent 2006`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", [], {}):
        return "nothing"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {told(one)}" for key, one in value.items())
    return str(value)


def clause(error: object) -> str:
    """Return an error's words as a part of a sentence, which brings its own full stop."""
    return str(error).rstrip(".")


def path(raw: str) -> str:
    """Return a path as one printable line: what is not valid text, or not printable, is escaped."""
    text = path_to_text(raw)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
