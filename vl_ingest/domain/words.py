"""How numbers and names read: sizes, durations, counts, and text that is safe on a terminal."""

from collections.abc import Mapping

from vl_ingest.domain.naming import path_to_text


def size(count: float) -> str:
    """Return bytes for people, in 1024s: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Return seconds for people: `3 s`, `12 min`, `4 h 05 min`, `2 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def several(count: int, thing: str) -> str:
    """Return `1 run`, `2,000 runs`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def counted(reasons: Mapping[str, int]) -> str:
    """Return `3 hidden, 1 excluded`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))


def clause(error: object) -> str:
    """Return an error's words as a part of a sentence, which brings its own full stop."""
    return str(error).rstrip(".")


def path(raw: str) -> str:
    """Return a path as one printable line: what is not valid text, or not printable, is escaped."""
    text = path_to_text(raw)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
