"""The forms in which people write sizes, durations, names and addresses."""

import os
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

from vl_ingest.domain.errors import UsageError

Choice = TypeVar("Choice", bound=StrEnum)
Given = TypeVar("Given")
Value = TypeVar("Value")
MOST_WORKERS = 64
MOST_FILES = 1000  # in one request
MOST_ADDED = 20_000  # in one addition
MOST_PROCESSES = 64
LONGEST_S = 100 * 365 * 86400.0  # more is a slip, and beyond what calendars and waits can take
CLOUD_URL = "https://app.visual-layer.com"
_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([smhd]?)", re.IGNORECASE | re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def read_option(flag: str, parse: Callable[[Given], Value], given: Given) -> Value:
    """Return what `parse` makes of what is given. Raises `UsageError` as the command does, with the option's name."""
    try:
        return parse(given)
    except UsageError as exc:
        raise UsageError(f"Invalid value for '{flag}': {exc}") from exc


def parse_size(text: str | int) -> int:
    """Return the bytes that `64MiB`, `8M`, `1.5 GB` or `4096` mean; a bare letter counts in 1024s.

    A number is bytes already. Raises `UsageError` for anything else.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        raise UsageError(f"{text!r} is not a size. Examples: 64MiB, 8M, 500000.")
    number, prefix, binary = match[1], (match[2] or "").lower(), match[3]
    thousand = 1000 if prefix and not binary and text.strip().lower().endswith("b") else 1024
    return int(float(number) * thousand ** "kmgt".index(prefix) * thousand) if prefix else int(float(number))


def size_text(count: int) -> str:
    """Return bytes in the shortest form that `parse_size` reads back exactly: `64MiB`."""
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def parse_name(text: str) -> str:
    """Return the name of a dataset, if it is one line of text. Raises `UsageError` for anything else."""
    if not _is_line(text):
        raise UsageError(f"{text!r} is not a name. Write one line of text, valid as UTF-8.")
    return text


def parse_reason(text: str) -> str:
    """Return what a person gives as a reason, if it is one line of text. Raises `UsageError` for anything else."""
    if not _is_line(text):
        raise UsageError(f"{text!r} is not a reason. Write one line of text, valid as UTF-8.")
    return text.strip()


def _is_line(text: str) -> bool:
    odd = (ord(char) < 32 or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text)
    return bool(text.strip()) and not any(odd)


def parse_duration(text: str | float) -> float:
    """Return the seconds that `90`, `90s`, `15m`, `6h` or `2d` mean; a number is seconds already.

    Raises `UsageError` for anything else.
    """
    seconds = -1.0
    if isinstance(text, str) and (match := _DURATION.fullmatch(text.strip())):
        seconds = float(match[1]) * _SECONDS[match[2].lower()]
    elif isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text)
    if not seconds >= 0:  # nor a NaN
        raise UsageError(f"{text!r} is not a duration. Examples: 90, 90s, 15m, 6h, 2d.")
    if seconds > LONGEST_S:
        raise UsageError(f"{text!r} is more than a hundred years. Examples: 6h, 2d.")
    return seconds


def duration_text(seconds: float) -> str:
    """Return seconds in a short form that `parse_duration` reads back: `30s`, `10m`, `24h`."""
    for unit in "hm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.12g}s"


def parse_workers(text: str | int | None) -> int | None:
    """Return the number that `4` means, or None for `auto`. Raises `UsageError` for anything else."""
    return _number_or_auto(text, "workers", 1, MOST_WORKERS)


def parse_processes(text: str | int | None) -> int | None:
    """Return the number that `2` means, or None for `auto`. Raises `UsageError` for anything else."""
    return _number_or_auto(text, "processes", 0, MOST_PROCESSES)


def _number_or_auto(text: str | int | None, of_what: str, least: int, most: int) -> int | None:
    word = text.strip().lower() if isinstance(text, str) else text
    if word is None or word == "auto":
        return None
    number = _whole(word)
    if number is None or not least <= number <= most:
        raise UsageError(
            f"Invalid number of {of_what}: {text!r}. Use `auto`, or a number from {least} to {most}."
        )
    return number


def parse_batch_size(text: str | int) -> int:
    """Return the number of files that `50` means. Raises `UsageError` for anything else."""
    number = _whole(text)
    if number is None:
        raise UsageError(f"{text!r} is not a valid integer.")
    if not 1 <= number <= MOST_FILES:
        raise UsageError(f"{number} is not in the range from 1 to {MOST_FILES}.")
    return number


def parse_add_files(text: str | int) -> int:
    """Return the number of files that `10000` means. Raises `UsageError` for anything else."""
    number = _whole(text)
    if number is None:
        raise UsageError(f"{text!r} is not a valid integer.")
    if not 1 <= number <= MOST_ADDED:
        raise UsageError(f"{number} is not in the range from 1 to {MOST_ADDED}.")
    return number


def parse_field(text: str) -> str:
    """Return the name of a custom metadata field. Raises `UsageError` for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}", text) or text != text.strip():
        raise UsageError(f"{text!r} is not a field's name: up to 64 letters, digits, spaces and _ . -")
    return text


def parse_switch(value: bool) -> bool:
    """Return what is True or False. Raises `UsageError` for anything else."""
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is neither True nor False.")
    return value


def parse_choice(kind: type[Choice], text: str) -> Choice:
    """Return the one of `kind` that has this value. Raises `UsageError` for anything else."""
    try:
        return kind(text)
    except ValueError as exc:
        choices = ", ".join(repr(choice.value) for choice in kind)
        raise UsageError(f"{text!r} is not one of {choices}.") from exc


def parse_patterns(patterns: str | Iterable[str]) -> tuple[str, ...]:
    """Return one text, or several, as a tuple. Raises `UsageError` for anything else."""
    several = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for one in several:
        if not isinstance(one, str):
            raise UsageError(f"{one!r} is not a text.")
    return several


def parse_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return one path, or several, as absolute paths."""
    several = (paths,) if isinstance(paths, str | os.PathLike) else paths
    return tuple(os.path.abspath(os.fspath(path)) for path in several)


def parse_scheduler(text: str) -> str:
    """Return the address of a Dask scheduler, as in `tcp://host:8786`. Raises `UsageError` for what is none."""
    address = text.strip()
    if not re.fullmatch(r"[a-z]+://\S+:\d+|\S+:\d+", address):
        raise UsageError(f"Invalid address of a scheduler: {text!r}. Use the form `tcp://HOST:8786`.")
    return address if "://" in address else f"tcp://{address}"


def parse_path_elsewhere(path: str | os.PathLike[str]) -> str:
    """Return a path on another host. Raises `UsageError` for one that is not absolute."""
    text = os.fspath(path)
    if not os.path.isabs(text):
        raise UsageError(
            f"Invalid path on the workers: {text!r}. Give it from the root, as in `/data/photos`."
        )
    return text


def parse_list(path: str | os.PathLike[str]) -> str:
    """Return the path of a list, as an absolute one; "-" stays what it is."""
    return "-" if path == "-" else os.path.abspath(os.fspath(path))


def _whole(value: object) -> int | None:
    """Return a whole number, given as one or in ASCII digits; None for anything else."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def normalise_base_url(text: str) -> str:
    """Return the one spelling of a server's base URL: lower-case scheme and host, no default port, no slash.

    Raises `UsageError` for what is not an http(s) URL, or holds a user name or password.
    """
    from urllib.parse import urlsplit, urlunsplit

    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a base URL: {exc}.") from exc
    if parts.scheme.lower() not in ("http", "https") or not host or " " in text.strip():
        raise UsageError(f"{text!r} is not a base URL. Example: {CLOUD_URL}")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "A base URL must not contain a user name or password; put credentials into the environment."
        )
    if parts.query or parts.fragment:
        raise UsageError(f"{text!r} is more than a base URL: remove everything after the path.")
    scheme = parts.scheme.lower()
    name = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        name += f":{port}"
    return urlunsplit((scheme, name, parts.path.rstrip("/"), "", ""))
