"""What an answer means, and what is in it: decisions on values.

Source of every protocol fact: the vendor's public pages on error handling and dataset status.
"""

import json
import re
from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from vl_ingest import clock
from vl_ingest.domain.errors import (
    BadRequest,
    Conflict,
    CredentialsRefused,
    Denied,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    RequestError,
    Throttled,
    TooLarge,
    Undocumented,
)
from vl_ingest.server.limits import RECEIPT_OF_UPLOAD
from vl_ingest.server.redact import HIDDEN, redact
from vl_ingest.server.tokens import Token

LONGEST_PAUSE_S = 86400.0  # whatever Retry-After asks for

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Answer(NamedTuple):
    """What arrived: `content` is the beginning of the body, and `whole` says whether all of it did."""

    status: int
    reason: str = ""
    content_type: str = ""
    location: str | None = None
    retry_after: str | None = None
    date: str | None = None
    content: bytes = b""
    whole: bool = True


class Lost(NamedTuple):
    """A request without an answer. `distrust` is why the server's certificate was refused, if that is the cause."""

    detail: str
    started: bool  # something of the request may have been written
    distrust: str | None = None


def classify(answer: Answer, receipt: int | Collection[int], token: Token | None) -> RequestError | None:
    """Return what an answer means; None: it is the receipt, or one of those that are."""
    error = _error(answer, receipt, token)
    if error is not None:
        error.in_form = not isinstance(error, Undocumented | Redirected) and _has_form(answer.content)
    return error


def _error(answer: Answer, receipt: int | Collection[int], token: Token | None) -> RequestError | None:
    """Return the error that an answer is.

    Only the documented status counts, from the API itself: a page of HTML is some proxy's, and decides
    nothing about a file. (A 413 does: it is mostly proxies that limit the size.)
    """
    status, html = answer.status, is_html(answer)
    receipts = (receipt,) if isinstance(receipt, int) else receipt
    if status in receipts and answer.whole and not html:
        return None
    detail = words(answer, token)
    if 300 <= status < 400:
        to = _clean(answer.location or "nowhere", token)
        return Redirected(f"the server redirects to {to}; if that is right, name it with --base-url", status)
    if status == 429:
        return Throttled(detail, retry_after_s(answer.retry_after))
    if status == 401:
        return CredentialsRefused(detail, 0 if token is None else token.number)
    kinds: dict[int, type[RequestError]] = {
        400: BadRequest, 403: Denied, 404: Denied, 409: Conflict, 413: TooLarge, 422: Denied,
    }  # fmt: skip
    if status in kinds and not (html and status == 400):
        return kinds[status](detail, status)
    kind: type[OutcomeUnknown] = OutcomeUnknown
    if not answer.whole:
        detail = "the answer was cut"
    elif status < 300:
        kind, detail = (
            Undocumented,
            f"a web page, not the API's answer: {detail}" if html else "not the documented answer",
        )
    return kind(detail, status)


def of_upload(
    error: RequestError | Refused | None, bytes_out: int, body_bytes: int, *, cut: bool
) -> RequestError | Refused | None:
    """Return what the end of a request means for the files in its body.

    `bytes_out` of its `body_bytes` were handed to the network; `cut`: not all of them could be.
    """
    if isinstance(error, OutcomeUnknown) and error.http_status is None and bytes_out == 0:
        return NotDelivered(error.detail)
    if error is None and (cut or bytes_out < body_bytes):
        return OutcomeUnknown("the receipt came before the files were sent", RECEIPT_OF_UPLOAD)
    return error


def of_loss(lost: Lost) -> RequestError | Refused:
    """Return what a request without an answer means."""
    if lost.distrust is not None:
        return Refused(
            f"The server's certificate can't be trusted: {lost.distrust}. If it is your own, set "
            "REQUESTS_CA_BUNDLE to its authority and run the same command again."
        )
    return OutcomeUnknown(lost.detail) if lost.started else NotDelivered(lost.detail)


def words(answer: Answer, token: Token | None = None) -> str:
    """Return the server's `detail` as one line, or the first words of whatever else it sent; without credentials."""
    text = answer.content.decode(
        "utf-8", "replace"
    )  # as JSON is; the charset that a proxy names may be no charset
    try:
        fields = json.loads(text)
        detail = fields["detail"] if "detail" in fields else fields["message"]  # the second: on premises
    except (ValueError, KeyError, TypeError):
        detail = _TAGS.sub(" ", text)
    if isinstance(detail, list):  # 422: a list of objects, each with the place and a message
        detail = "; ".join(
            f"{'.'.join(map(str, d['loc']))}: {d.get('msg', d)}"
            if isinstance(d, dict) and isinstance(d.get("loc"), list)
            else _plain(d)
            for d in detail
        )
    line = _clean(" ".join(_plain(detail).split()), token)
    return (line[:299] + "…" if len(line) > 300 else line) or answer.reason or "no words"


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, in either of its forms (RFC 9110, 10.2.3)."""
    if not header:
        return None
    text = header.strip()
    try:
        if text.isdecimal():
            wait_s = float(text)
        else:
            wait_s = (parsedate_to_datetime(text) - clock.now()).total_seconds()
    except (ValueError, OverflowError, TypeError):  # no date, no possible one, or one without a zone
        return None
    return min(max(0.0, wait_s), LONGEST_PAUSE_S)


def _has_form(content: bytes) -> bool:
    """Return whether an error is written as the API writes it; on premises that is `status` and `message`."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and ("detail" in fields or {"status", "message"} <= fields.keys())


def _clean(text: str, token: Token | None) -> str:
    """Return what a server said without the credentials, which it may repeat: its words go on record."""
    return redact(text if token is None else text.replace(token.value, HIDDEN))


def is_html(answer: Answer) -> bool:
    """Return whether an answer is a page, by its type or its beginning."""
    return "html" in answer.content_type.lower() or answer.content.lstrip()[:14].lower().startswith(
        (b"<!doctype html", b"<html")
    )


def json_object(content: bytes) -> dict[str, Any]:
    """Return the object that an answer is. Raises `Undocumented`."""
    value = json_value(content)
    if not isinstance(value, dict):
        raise Undocumented("the answer is not a JSON object", 200)
    return value


def json_value(content: bytes) -> Any:
    """Return what an answer holds. Raises `Undocumented` for what is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise Undocumented("the answer is not JSON", 200) from exc


def identifier(content: dict[str, Any], name: str) -> str:
    """Return an id of an answer as text. Raises `Undocumented` where there is none."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise Undocumented(f"the answer holds no {name}", 200)
    return str(value)


def said(value: object) -> str | None:
    """Return the server's words as they may be recorded, without credentials; None where it said nothing."""
    return None if value is None else redact(_plain(value))


def number(value: object) -> float | None:
    """Return a number of an answer; None for anything but a number."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def count(value: object) -> int | None:
    """Return a whole number of an answer; None for anything but a number."""
    found = number(value)
    return None if found is None else int(found)


def _plain(value: object) -> str:
    """Return anything but text as JSON, without half characters."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode("utf-8")
