"""What may go wrong, and when it does.

A fault is written `ENDPOINT:KIND[:key=value]...`, for example `upload:503:every=5:retry-after=2`. What the server
does after it has accepted a request can fail too; that is written the same way: `processing:failed:times=2`.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from typing import Any

ENDPOINTS = (
    "create", "open", "upload", "trigger", "status", "list", "health", "creation-status", "tasks", "retry", "abort",
    "export-ids", "export", "export-status", "download", "add", "reindex", "delete", "field", "values",
    "field-status", "any",
)  # fmt: skip
NAMED = frozenset({"upload", "add"})  # endpoints whose requests hold files
KINDS = {
    "reset-before": "the connection is reset as soon as the headers are there",
    "reset-inside": "it is reset after a part of the body (bytes=N, else half); nothing is carried out",
    "reset-after": "it is reset after the whole body; nothing is carried out",
    "lost-answer": "the request is carried out, then the connection is reset",
    "late": "it is reset after the whole body, and the request is carried out seconds=S (1) later, if it can be",
    "cut-answer": "the request is carried out, a part of the answer arrives, then a reset",
    "hang": "nothing is carried out and no answer comes for seconds=S (3600), then a reset",
    "slow": "the request is carried out, the answer comes after seconds=S (1)",
    "slow-read": "the body is read at rate=BYTES a second (1 MiB)",
    "html": "the request is carried out; the right status, but a page of HTML",
    "html-lost": "the same, but nothing is carried out",
    "redirect": "307 to to=URL",
    "shape": "the request is carried out; the right status, but other JSON (body=JSON)",
    "word": "the answer's status word is to=WORD (only of `status`)",
    "elsewhere": "before the request, somebody else adds a medium to its dataset, which takes seconds=S (1)",
}
WORK: Mapping[str, Mapping[str, str]] = {
    "processing": {"failed": "processing is begun and fails with message=TEXT; a retry is processing too"},
    "addition": {"failed": "an addition is accepted and fails; nothing of it is in the dataset"},
    "reindexing": {"failed": "a reindex is accepted and fails; the status stays PARTIAL INDEX"},
    "exporting": {
        "failed": "an export is begun and ends FAILED",
        "rejected": "it ends REJECTED",
    },
    "medium": {
        "swallow": "a file (name=PATTERN) is accepted and processed, but is not in the dataset",
        "double": "it is in the dataset twice",
    },
}
BEFORE_NAMES = frozenset({"reset-before", "reset-inside", "slow-read"})  # act before a file name is known


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, and on which of the endpoint's requests.

    Of the matching requests the first `after` are spared; then each `every`-th is hit, at most `times`
    times, and only between the seconds `between` since the server's start. With `name` only uploads and
    additions that hold a file whose name matches, and only once the body has been read.
    """

    endpoint: str
    kind: str  # a key of KINDS, or a status number
    every: int = 1
    times: int | None = None
    after: int = 0
    between: tuple[float, float] | None = None
    retry_after: str | None = None  # seconds, or `date:` and seconds
    name: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    rate: int | None = None
    done: bool = False  # the request is carried out before a status fault is answered
    early: bool = False  # a status fault is answered before the body is read
    to: str = ""
    body: str = '{"data": []}'
    message: str = "The sandbox was told to fail."

    @property
    def status(self) -> int | None:
        """The status of a fault that is one."""
        return int(self.kind) if self.kind.isdecimal() else None

    def hits_names(self, names: Iterable[str]) -> bool:
        """Return whether one of the uploaded names is meant."""
        return self.name is None or any(fnmatchcase(name, self.name) for name in names)

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the headers that the fault adds to its answer; `now` is in UTC."""
        headers = {"location": self.to} if self.to else {}
        if self.retry_after is not None:
            kind, _, seconds = self.retry_after.rpartition(":")
            moment = now + timedelta(seconds=int(seconds))
            headers["retry-after"] = format_datetime(moment, usegmt=True) if kind == "date" else seconds
        return headers


def parse_fault(text: str) -> Fault:
    """Return the fault that `text` writes. Raises `ValueError` with a sentence that says what is wrong."""
    endpoint, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    _check_kind(text, endpoint, kind)
    values: dict[str, Any] = {}
    # A colon within an address or in `retry-after=date:S` has no `key=` behind it.
    for pair in re.split(r":(?=[a-z-]+=)", rest) if rest else ():
        key, equals, value = pair.partition("=")
        if key not in KEYS or not equals:
            raise ValueError(f"{text!r}: {key!r} is no key=value; the keys are {', '.join(sorted(KEYS))}.")
        if key.replace("-", "_") in values:
            raise ValueError(f"{text!r}: {key} is given twice.")
        read, wanted = KEYS[key]
        try:
            values[key.replace("-", "_")] = read(value)
        except ValueError:
            raise ValueError(f"{text!r}: {key} must be {wanted}, not {value!r}.") from None
    fault = Fault(endpoint, kind, **values)
    if fault.name is not None and endpoint != "medium" and (endpoint not in NAMED or kind in BEFORE_NAMES):
        raise ValueError(f"{text!r}: only an upload or addition whose body has been read has a name.")
    if kind in ("redirect", "word") and not fault.to:
        raise ValueError(f"{text!r}: this fault needs to=TEXT.")
    return fault


def _check_kind(text: str, endpoint: str, kind: str) -> None:
    if endpoint in WORK:
        if kind not in WORK[endpoint]:
            raise ValueError(f"{text!r}: {endpoint} can be {' or '.join(WORK[endpoint])}, not {kind!r}.")
        return
    if endpoint not in ENDPOINTS:
        raise ValueError(
            f"{text!r}: {endpoint!r} is no endpoint; there are {', '.join((*ENDPOINTS, *WORK))}."
        )
    if kind not in KINDS and not re.fullmatch("[2-5][0-9][0-9]", kind):
        raise ValueError(
            f"{text!r}: {kind!r} is no fault; there are a status number (200 to 599), {', '.join(KINDS)}."
        )
    if kind == "word" and endpoint != "status":
        raise ValueError(f"{text!r}: only `status` answers with a status word.")


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(text)
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise ValueError(text)
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text):
        raise ValueError(text)
    return float(text)


def _between(text: str) -> tuple[float, float]:
    first, _, last = text.partition("-")
    start, end = _seconds(first), _seconds(last)
    if end < start:
        raise ValueError(text)
    return start, end


def _retry_after(text: str) -> str:
    _count(text.removeprefix("date:"))
    return text


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _json(text: str) -> str:
    json.loads(text)  # whose errors are ValueErrors
    return text


def _text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


KEYS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "every": (_positive, "a whole number from 1"),
    "times": (_count, "a whole number"),
    "after": (_count, "a whole number"),
    "between": (_between, "A-B in seconds"),
    "retry-after": (_retry_after, "whole seconds, or date: and whole seconds"),
    "name": (_text, "a pattern"),
    "seconds": (_seconds, "a number"),
    "bytes": (_count, "a whole number"),
    "rate": (_positive, "a whole number from 1"),
    "done": (_yes, "yes or no"),
    "early": (_yes, "yes or no"),
    "to": (_text, "a URL or a word"),
    "body": (_json, "JSON"),
    "message": (_text, "a text"),
}


@dataclass
class _Counted:
    """A fault, the requests that matched it, and those it hit."""

    fault: Fault
    seen: int = 0
    hits: int = 0


class FaultPlan:
    """Decides which fault hits a request, and counts. The first in order of addition that is due wins."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = [_Counted(fault) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Add one more way to misbehave."""
        with self._lock:
            self._faults.append(_Counted(fault))

    def clear(self) -> None:
        """Behave."""
        with self._lock:
            self._faults.clear()

    def holds(self, fault: Fault) -> bool:
        """Return whether a fault is still among those added; it may have hit as often as it is to."""
        with self._lock:
            return any(entry.fault is fault for entry in self._faults)

    def next(self, endpoint: str, since_start_s: float) -> Fault | None:
        """Return the fault without `name` that hits this request of `endpoint`, if one does."""
        return self._hit(lambda f: f.endpoint in (endpoint, "any") and f.name is None, since_start_s)

    def next_named(
        self, endpoint: str, since_start_s: float, names: Callable[[], Sequence[str]]
    ) -> Fault | None:
        """Return the fault with `name` that hits a request that holds these files, if one does.

        `names` is asked only where a fault wants to know.
        """
        with self._lock:
            if all(entry.fault.endpoint != endpoint or entry.fault.name is None for entry in self._faults):
                return None
        held = names()
        return self._hit(
            lambda f: f.endpoint == endpoint and f.name is not None and f.hits_names(held), since_start_s
        )

    def next_work(self, work: str, since_start_s: float, name: str = "") -> Fault | None:
        """Return what befalls a piece of the server's work (a key of WORK; of a medium its name), if anything."""
        return self._hit(lambda f: f.endpoint == work and f.hits_names((name,)), since_start_s)

    def _hit(self, meant: Callable[[Fault], bool], since_start_s: float) -> Fault | None:
        with self._lock:
            for entry in self._faults:
                fault = entry.fault
                if not meant(fault):
                    continue
                if fault.between and not fault.between[0] <= since_start_s <= fault.between[1]:
                    continue
                entry.seen += 1
                if entry.seen <= fault.after or (entry.seen - fault.after) % fault.every:
                    continue
                if fault.times is not None and entry.hits >= fault.times:
                    continue
                entry.hits += 1
                return fault
        return None
