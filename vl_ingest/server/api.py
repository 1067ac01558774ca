"""The server's endpoints: a method an endpoint, exactly one request each, and what its answer means.

Source of every protocol fact: the vendor's public pages on local-file upload, authentication, error
handling and dataset status. Nothing here repeats a request, follows a redirect, or decides what to do next.
"""

import json
import logging
import re
import ssl
import threading
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import requests
import urllib3

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
)
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.redact import HIDDEN, redact
from vl_ingest.server.tokens import Token, Tokens
from vl_ingest.server.wire import Bearer, Session

ANSWER_BYTES = 1024 * 1024  # more of an answer is not read
KEPT_S = (
    4.0  # servers close a silent connection after 5 s at the earliest, perhaps as the next request is sent
)
LONGEST_PAUSE_S = 86400.0  # whatever Retry-After asks for

LOG = logging.getLogger("vl_ingest.request")

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Api:
    """A client of one server, for any number of threads.

    `connect_timeout_s` bounds the making of a connection, `read_timeout_s` the silence between bytes.
    Every method raises a `RequestError`, or `Refused` for a certificate that can't be trusted.
    """

    def __init__(
        self, base_url: str, tokens: Tokens, *, connect_timeout_s: float = 10.0, read_timeout_s: float = 120.0
    ) -> None:
        self.base_url = base_url
        self.tokens = tokens
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._kept = threading.local()

    def create_dataset(self, name: str) -> str:
        """Create a dataset and return its id. A GET with a side effect: sent twice, it makes two."""
        answer = self._fresh("GET", "ingestion/new_dataset", 200, params={"dataset_name": name})
        return _field(answer, "dataset_id")

    def open_transaction(self, dataset_id: str) -> str:
        """Open a transaction and return its id. A GET with a side effect: sent twice, it opens two."""
        return _field(self._fresh("GET", f"ingestion/{_segment(dataset_id)}/data_files", 200), "trans_id")

    def upload(self, dataset_id: str, transaction_id: str, body: MultipartBody) -> int:
        """Send one batch and return the status of the receipt; what the answer's body says is ignored.

        Raises `FileTrouble` too, from the body.
        """
        path = f"ingestion/{_segment(dataset_id)}/data_files/{_segment(transaction_id)}"
        session = self._session()
        try:
            self._send(session, "POST", path, 202, body=body)
        except OutcomeUnknown as exc:
            if body.bytes_out == 0 and exc.http_status is None:
                raise NotDelivered(exc.detail) from exc
            raise
        if session.wire.cut or body.bytes_out < len(body):
            raise OutcomeUnknown("the receipt came before the files were sent", 202)
        return 202

    def trigger(self, dataset_id: str, transaction_id: str) -> int:
        """Start processing and return the status of the receipt. Never to be repeated on a guess."""
        path = f"ingestion/{_segment(dataset_id)}/process_files/{_segment(transaction_id)}"
        self._fresh("POST", path, 202)
        return 202

    def dataset_status(self, dataset_id: str) -> DatasetStatus:
        """Return the server's word on a dataset. Harmless to repeat."""
        answer = self._send(self._session(), "GET", f"dataset/{_segment(dataset_id)}", 200)
        content = _json(answer)
        word = next((w for w in map(content.get, ("status_new", "status")) if w and isinstance(w, str)), None)
        if word is None:
            raise OutcomeUnknown("the answer names no status", 200)
        message = content.get("fatal_error_msg")
        return DatasetStatus(
            word=redact(_text(word)),
            progress=_number(content.get("progress")),
            message=None if message is None else redact(_text(message)),
            n_images=_count(content.get("n_images")),
            n_videos=_count(content.get("n_videos")),
        )

    def _session(self) -> Session:
        """Return this thread's session, whose connection is kept from request to request, but not for long."""
        session: Session | None = getattr(self._kept, "session", None)
        if session is None:
            session = self._kept.session = Session()
        elif clock.monotonic() - session.wire.used_at > KEPT_S:
            session.close()  # its connections; the next request makes a new one
        return session

    def _fresh(self, method: str, path: str, receipt: int, *, params: dict[str, str] | None = None) -> bytes:
        """Send a request with an effect over its own connection: a kept one may be dead."""
        with Session() as session:
            return self._send(session, method, path, receipt, params=params)

    def _send(
        self,
        session: Session,
        method: str,
        path: str,
        receipt: int,
        *,
        params: dict[str, str] | None = None,
        body: MultipartBody | None = None,
    ) -> bytes:
        token = self.tokens.current()
        session.wire.timeout_s, session.wire.cut = self._timeout[1], False
        url, began = f"{self.base_url}/api/v1/{path}", clock.monotonic()
        try:
            with session.request(
                method,
                url,
                params=params,
                data=body,  # type: ignore[arg-type]  # requests takes anything with `read` and a length
                headers={"Content-Type": body.content_type} if body is not None else {},
                auth=Bearer(token),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                content, whole = _content(response, self._timeout[1])
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            lost = _lost(exc, session.wire.started)
            _log(method, url, lost, began, body, 0)
            raise lost from exc
        session.wire.used_at = clock.monotonic()
        self.tokens.observe_date(response.headers.get("Date"))
        error = classify(response, content, receipt, whole=whole, token=token)
        if error is not None:
            session.close()  # more may come, as behind a 1xx, and be taken for the answer to the next request
        if not isinstance(error, CredentialsRefused):
            self.tokens.accepted(token)
        _log(method, url, response.status_code, began, body, len(content))
        if error is not None:
            raise error
        return content


def _log(
    method: str, url: str, answer: int | Exception, began: float, body: MultipartBody | None, bytes_in: int
) -> None:
    """Log a request and its answer, where anybody wants to know; neither headers nor bodies."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    took_ms = round((clock.monotonic() - began) * 1000)
    bytes_out = 0 if body is None else body.bytes_out
    facts = {
        "method": method, "url": url, "status": answer if isinstance(answer, int) else None, "ms": took_ms,
        "bytes_out": bytes_out, "bytes_in": bytes_in,
    }  # fmt: skip
    text = f"{method} {url}: {answer}, {took_ms} ms, {bytes_out} bytes out, {bytes_in} in"
    LOG.debug("%s", text, extra={"event": "request", "facts": facts})


def classify(
    response: requests.Response, content: bytes, receipt: int, *, whole: bool, token: Token | None
) -> RequestError | None:
    """Return what an answer means; None: it is the receipt.

    Only the documented status counts, from the API itself: a page of HTML is some proxy's, and decides
    nothing about a file. (A 413 does: it is mostly proxies that limit the size.)
    """
    status = response.status_code
    detail = words(response, content, token)
    html = _is_html(response, content)
    if status == receipt and whole and not html:
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
    if not whole:
        detail = "the answer was cut"
    elif status < 300:
        detail = f"unexpected answer: {detail}" if html else "not the documented answer"
    return OutcomeUnknown(detail, status)


def words(response: requests.Response, content: bytes, token: Token | None = None) -> str:
    """Return the server's `detail` as one line, or the first words of whatever else it sent; without credentials."""
    text = content.decode("utf-8", "replace")  # as JSON is; the charset that a proxy names may be no charset
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = _TAGS.sub(" ", text)
    if isinstance(detail, list):  # 422: a list of objects, each with the place and a message
        detail = "; ".join(
            f"{'.'.join(map(str, d['loc']))}: {d.get('msg', d)}"
            if isinstance(d, dict) and isinstance(d.get("loc"), list)
            else _text(d)
            for d in detail
        )
    line = _clean(" ".join(_text(detail).split()), token)
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


def _lost(exc: Exception, started: bool) -> RequestError | Refused:
    """Return what a request without an answer means."""
    chain: list[BaseException] = [exc]
    while (
        inner := chain[-1].__cause__ or chain[-1].__context__ or _reason(chain[-1])
    ) and inner not in chain:
        chain.append(inner)
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Refused(
                f"The server's certificate can't be trusted: {cause.verify_message}. If it is your own, name "
                "its authority in REQUESTS_CA_BUNDLE and run the same command again."
            )
    detail = next((str(c) for c in reversed(chain) if str(c)), type(exc).__name__)
    return OutcomeUnknown(detail) if started else NotDelivered(detail)


def _reason(exc: BaseException) -> BaseException | None:
    """Return the exception that requests or urllib3 carries in its arguments."""
    carried = [getattr(exc, "reason", None), *exc.args]
    return next((item for item in carried if isinstance(item, BaseException)), None)


def _content(response: requests.Response, longest_s: float) -> tuple[bytes, bool]:
    """Return what the answer holds, and whether it arrived whole; it may take `longest_s` in all."""
    content, until = bytearray(), clock.monotonic() + longest_s
    try:
        while piece := response.raw.read1(65536, decode_content=True):
            content += piece
            if len(content) > ANSWER_BYTES:
                break
            if clock.monotonic() > until:
                return bytes(content), False
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return bytes(content), False  # the status is known all the same; `classify` decides
    return bytes(content), True


def _clean(text: str, token: Token | None) -> str:
    """Return what a server said without the credentials, which it may repeat: its words go on record."""
    return redact(text if token is None else text.replace(token.value, HIDDEN))


def _is_html(response: requests.Response, content: bytes) -> bool:
    return "html" in response.headers.get("Content-Type", "").lower() or content.lstrip()[
        :14
    ].lower().startswith((b"<!doctype html", b"<html"))


def _json(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as exc:
        raise OutcomeUnknown("the answer is not JSON", 200) from exc
    if not isinstance(value, dict):
        raise OutcomeUnknown("the answer is not a JSON object", 200)
    return value


def _field(content: bytes, name: str) -> str:
    value = _json(content).get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise OutcomeUnknown(f"the answer holds no {name}", 200)
    return str(value)


def _text(value: object) -> str:
    """Return what may be recorded of the server's words: anything but text as JSON, no half characters."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode("utf-8")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _segment(text: str) -> str:
    return quote(text, safe="")
