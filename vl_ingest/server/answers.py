"""What an answer means, and what is in it: decisions on values.

Source of every protocol fact: the vendor's public pages on error handling and dataset status.
"""

import json
import re
from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from vl_ingest import clock
from vl_ingest.domain.errors import (
    BadRequest,
    Conflict,
    CredentialsRefused,
    Denied,
    OutcomeUnknown,
    Redirected,
    RequestError,
    Throttled,
    TooLarge,
    Undocumented,
)
from vl_ingest.server.redact import HIDDEN, redact
from vl_ingest.server.tokens import Token

LONGEST_PAUSE_S = 86400.0  # whatever Retry-After asks for

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def classify(
    response: requests.Response,
    content: bytes,
    receipt: int | Collection[int],
    *,
    whole: bool,
    token: Token | None,
) -> RequestError | None:
    """Return what an answer means; None: it is the receipt, or one of those that are."""
    error = _error(response, content, receipt, whole=whole, token=token)
    if error is not None:
        error.in_form = not isinstance(error, Undocumented | Redirected) and _has_form(content)
    return error


def _error(
    response: requests.Response,
    content: bytes,
    receipt: int | Collection[int],
    *,
    whole: bool,
    token: Token | None,
) -> RequestError | None:
    """Return the error that an answer is.

    Only the documented status counts, from the API itself: a page of HTML is some proxy's, and decides
    nothing about a file. (A 413 does: it is mostly proxies that limit the size.)
    """
    status = response.status_code
    detail = words(response, content, token)
    html = is_html(response, content)
    receipts = (receipt,) if isinstance(receipt, int) else receipt
    if status in receipts and whole and not html:
        return None
    if 300 <= status < 400:
        to = _clean(response.headers.get("Location", "nowhere"), token)
        return Redirected(f"the server redirects to {to}; if that is right, name it with --base-url", status)
    if status == 429:
        return Throttled(detail, retry_after_s(response.headers.get("Retry-After")))
    if status == 401:
        return CredentialsRefused(detail, 0 if token is None else token.number)
    kinds: dict[int, type[RequestError]] = {
        400: BadRequest, 403: Denied, 404: Denied, 409: Conflict, 413: TooLarge, 422: Denied,
    }  # fmt: skip
    if status in kinds and not (html and status == 400):
        return kinds[status](detail, status)
    kind: type[OutcomeUnknown] = OutcomeUnknown
    if not whole:
        detail = "the answer was cut"
    elif status < 300:
        kind, detail = Undocumented, f"unexpected answer: {detail}" if html else "not the documented answer"
    return kind(detail, status)


def words(response: requests.Response, content: bytes, token: Token | None = None) -> str:
    """Return the server's `detail` as one line, or the first words of whatever else it sent; without credentials."""
    text = content.decode("utf-8", "replace")  # as JSON is; the charset that a proxy names may be no charset
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
    return (line[:299] + "…" if len(line) > 300 else line) or response.reason or "no words"


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


def is_html(response: requests.Response, content: bytes) -> bool:
    """Return whether an answer is a page, by its type or its beginning."""
    return "html" in response.headers.get("Content-Type", "").lower() or content.lstrip()[
        :14
    ].lower().startswith((b"<!doctype html", b"<html"))


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
