"""What may go wrong, and when it does.

A fault is written `ENDPOINT:KIND[:key=value]...`, for example `upload:503:every=5:retry-after=2`.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

ENDPOINTS = ("create", "open", "upload", "trigger", "status", "any")
KINDS = {
    "reset-before": "the connection is reset as soon as the headers are there",
    "reset-inside": "it is reset after a part of the body (bytes=N, else half)",
    "reset-after": "it is reset after the whole body; nothing is carried out",
    "lost-answer": "the request is carried out, then the connection is reset",
    "cut-answer": "the request is carried out, and half of the answer arrives",
    "hang": "nothing is carried out and no answer comes for seconds=S (3600)",
    "slow": "the request is carried out, the answer comes after seconds=S",
    "slow-read": "the body is read at rate=BYTES a second",
    "html": "the request is carried out; the right status, but a page of HTML",
    "html-lost": "the same, but nothing is carried out",
    "redirect": "307 to to=URL",
}
KEYS = frozenset({"every", "times", "after", "between", "retry-after", "name", "seconds", "bytes", "rate", "done", "early", "to"})  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, and on which of the endpoint's requests.

    Of the matching requests the first `after` are spared; then each `every`-th is hit, at most `times`
    times, and only between the seconds `between` since the server's start. With `name` only uploads that
    hold a file whose name matches.
    """

    endpoint: str
    kind: str  # a key of KINDS, or a status number
    every: int = 1
    times: int | None = None
    after: int = 0
    between: tuple[float, float] | None = None
    retry_after: str | None = None
    name: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    rate: int | None = None
    done: bool = False  # the request is carried out before a status fault is answered
    early: bool = False  # a status fault is answered before the body is read
    to: str = ""

    @property
    def status(self) -> int | None:
        """The status of a fault that is one."""
        return int(self.kind) if self.kind.isdecimal() else None

    def hits_names(self, names: Iterable[str]) -> bool:
        """Say whether one of the uploaded names is meant."""
        return self.name is None or any(fnmatchcase(name, self.name) for name in names)


def parse_fault(text: str) -> Fault:
    """Return the fault that `text` writes. Raises `ValueError` with a sentence that says what is wrong."""
    endpoint, _, rest = text.partition(":")
    kind, *pairs = _pairs(rest)
    if endpoint not in ENDPOINTS:
        raise ValueError(f"{text!r}: {endpoint!r} is no endpoint; there are {', '.join(ENDPOINTS)}.")
    if kind not in KINDS and not (kind.isdecimal() and 200 <= int(kind) <= 599):
        raise ValueError(f"{text!r}: {kind!r} is no fault; there are a status number, {', '.join(KINDS)}.")
    values = {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
    if unknown := set(values) - KEYS:
        raise ValueError(f"{text!r}: {min(unknown)!r} is no key; there are {', '.join(sorted(KEYS))}.")
    try:
        return Fault(
            endpoint,
            kind,
            every=int(values.get("every", 1)),
            times=int(values["times"]) if "times" in values else None,
            after=int(values.get("after", 0)),
            between=_between(values["between"]) if "between" in values else None,
            retry_after=values.get("retry-after"),
            name=values.get("name"),
            seconds=float(values["seconds"]) if "seconds" in values else None,
            bytes=int(values["bytes"]) if "bytes" in values else None,
            rate=int(values["rate"]) if "rate" in values else None,
            done=values.get("done") == "yes",
            early=values.get("early") == "yes",
            to=values.get("to", ""),
        )
    except ValueError as exc:
        raise ValueError(f"{text!r}: {exc}.") from exc


def _pairs(text: str) -> list[str]:
    """Split at colons, but not inside a `to=` address or a `retry-after=date:S`."""
    head, separator, address = text.partition(":to=")
    parts: list[str] = []
    for part in head.split(":"):
        if parts and parts[-1] == "retry-after=date":
            parts[-1] += f":{part}"
        else:
            parts.append(part)
    return [*parts, f"to={address}"] if separator else parts


def _between(text: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    return float(start), float(end)


class FaultPlan:
    """Decides which fault hits a request, and counts."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = [[fault, 0, 0] for fault in faults]  # fault, matching requests, hits

    def add(self, fault: Fault) -> None:
        """Add one more way to misbehave."""
        with self._lock:
            self._faults.append([fault, 0, 0])

    def clear(self) -> None:
        """Behave."""
        with self._lock:
            self._faults.clear()

    def next(self, endpoint: str, since_start_s: float) -> Fault | None:
        """Return the fault without `name` that hits this request of `endpoint`, if one does."""
        return self._hit(endpoint, since_start_s, None)

    def next_named(self, endpoint: str, since_start_s: float, names: Sequence[str]) -> Fault | None:
        """Return the fault with `name` that hits an upload of these files, if one does."""
        return self._hit(endpoint, since_start_s, names)

    def _hit(self, endpoint: str, since_start_s: float, names: Sequence[str] | None) -> Fault | None:
        with self._lock:
            for entry in self._faults:
                fault, seen, hits = entry
                assert isinstance(fault, Fault) and isinstance(seen, int) and isinstance(hits, int)  # noqa: S101, PT018  # for the type checker
                if fault.endpoint not in (endpoint, "any") or (fault.name is None) != (names is None):
                    continue
                if names is not None and not fault.hits_names(names):
                    continue
                if fault.between and not fault.between[0] <= since_start_s <= fault.between[1]:
                    continue
                entry[1] = seen = seen + 1
                if seen <= fault.after or (seen - fault.after) % fault.every:
                    continue
                if fault.times is not None and hits >= fault.times:
                    continue
                entry[2] = hits + 1
                return fault
        return None
