"""How one request is made: exactly once, with a token or none, and what became of it.

Nothing here repeats a request, follows a redirect, or decides what to do next.
"""

import hashlib
import logging
import math
import ssl
import threading
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple, Self

import requests
import urllib3

from vl_ingest import clock
from vl_ingest.domain.errors import (
    CredentialsRefused,
    Refused,
    RequestError,
    Undocumented,
)
from vl_ingest.server.answers import Answer, Lost, classify, is_html, of_loss, of_upload
from vl_ingest.server.body import Body
from vl_ingest.server.limits import ANSWER_BYTES, KEPT_S, RECEIPT_OF_UPLOAD
from vl_ingest.server.tokens import Token, Tokens
from vl_ingest.server.wire import DEFAULT_AUTHORITIES, Bearer, Session, authorities, trust

BLOCK_BYTES = 64 * 1024

LOG = logging.getLogger("vl_ingest.request")


class Received(NamedTuple):
    """What was received into a file."""

    size_bytes: int
    sha256: str


class Transport:
    """Requests to one server, for any number of threads.

    `connect_timeout_s` bounds the making of a connection, `read_timeout_s` the silence between bytes.
    Every method raises a `RequestError`, or `Refused` for a certificate that can't be trusted.
    """

    def __init__(
        self, base_url: str, tokens: Tokens, *, connect_timeout_s: float = 10.0, read_timeout_s: float = 120.0
    ) -> None:
        if base_url.startswith("https:") and authorities() != DEFAULT_AUTHORITIES:
            trust()  # what requests would find out too late, and call a lost answer
        self.base_url = base_url
        self.tokens = tokens
        self.timeouts = (connect_timeout_s, read_timeout_s)
        self._kept = threading.local()

    @classmethod
    def beside(cls, other: "Transport", longest_s: float = math.inf) -> Self:
        """Return what sends to the same server, with the same credentials and the same patience, or less."""
        connect_s, read_s = other.timeouts
        return cls(
            other.base_url, other.tokens, connect_timeout_s=connect_s, read_timeout_s=min(read_s, longest_s)
        )

    def _session(self) -> Session:
        """Return this thread's session, whose connection is kept from request to request, but not for long."""
        session: Session | None = getattr(self._kept, "session", None)
        if session is None:
            session = self._kept.session = Session()
        elif clock.monotonic() - session.wire.used_at > KEPT_S:
            session.close()  # its connections; the next request makes a new one
        return session

    def _fresh(
        self,
        method: str,
        path: str,
        receipt: int | Collection[int],
        *,
        params: dict[str, str] | None = None,
        body: Body | None = None,
    ) -> bytes:
        """Send a request with an effect over its own connection: a kept one may be dead."""
        with Session() as session:
            return self._send(session, method, path, receipt, params=params, body=body)

    def url(self, path: str) -> str:
        """Return the address of what lies below `/api/v1`."""
        return f"{self.base_url}/api/v1/{path}"

    def means(
        self, answer: Answer, receipt: int | Collection[int], token: Token | None
    ) -> RequestError | None:
        """Return what an answer means, None if it is the receipt; and note what it tells of token and clock."""
        self.tokens.observe_date(answer.date)
        error = classify(answer, receipt, token)
        if not isinstance(error, CredentialsRefused):
            self.tokens.accepted(token)
        return error

    def _send_files(self, session: Session, path: str, body: Body, token: Token | None = None) -> int:
        """Send files and return the status of the receipt, 202; what the answer's body says is ignored.

        Raises `FileTrouble` too, from the body.
        """
        error: RequestError | Refused | None = None
        try:
            self._send(session, "POST", path, RECEIPT_OF_UPLOAD, body=body, token=token)
        except (RequestError, Refused) as exc:
            error = exc
        meant = of_upload(error, body.bytes_out, len(body), cut=session.wire.cut)
        if meant is not None:
            raise meant from error
        return RECEIPT_OF_UPLOAD

    def _send(
        self,
        session: Session,
        method: str,
        path: str,
        receipt: int | Collection[int],
        *,
        params: dict[str, str] | None = None,
        body: Body | None = None,
        answer_bytes: int = ANSWER_BYTES,
        token: Token | None = None,
    ) -> bytes:
        """Send a request below `/api/v1` and return what its receipt holds, at most `answer_bytes` and a piece.

        With `token`, or with the one that is current.
        """
        token = token or self.tokens.current()
        session.wire.timeout_s, session.wire.cut = self.timeouts[1], False
        url, began = self.url(path), clock.monotonic()
        try:
            with session.request(
                method,
                url,
                params=params,
                data=body,  # type: ignore[arg-type]  # requests takes anything with `read` and a length
                headers={"Content-Type": body.content_type} if body is not None else {},
                auth=Bearer(token),
                timeout=self.timeouts,
                allow_redirects=False,
                stream=True,
            ) as response:
                content, whole = _content(response, self.timeouts[1], answer_bytes)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            lost = of_loss(_lost(exc, session.wire.started))
            log(method, url, lost, began, _bytes_out(body), 0)
            raise lost from exc
        session.wire.used_at = clock.monotonic()
        error = self.means(_answer(response, content, whole=whole), receipt, token)
        if error is not None:
            session.close()  # more may come, as behind a 1xx, and be taken for the answer to the next request
        log(method, url, response.status_code, began, _bytes_out(body), len(content))
        if error is not None:
            raise error
        return content

    def _receive(self, url: str, target: BinaryIO, token: Token | None) -> Received:
        """Read what is at `url`, of any size, into `target`, over a connection of its own.

        After an error `target` may hold a part of it. Raises `OSError` for what can't be written.
        """
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces(url, token):
            digest.update(piece)
            size += len(piece)
            target.write(piece)
        return Received(size, digest.hexdigest())

    def _pieces(self, url: str, token: Token | None) -> Iterator[bytes]:
        began, shown, size = clock.monotonic(), url.partition("?")[0], 0  # what is cut off may be a signature
        with Session() as session:
            session.wire.timeout_s = self.timeouts[1]
            try:
                with session.request(
                    "GET", url, auth=Bearer(token), timeout=self.timeouts, allow_redirects=False, stream=True
                ) as response:
                    if response.status_code != 200:
                        content, whole = _content(response, self.timeouts[1], ANSWER_BYTES)
                        log("GET", shown, response.status_code, began, 0, len(content))
                        error = classify(_answer(response, content, whole=whole), (), token)
                        assert error is not None  # noqa: S101  # nothing is a receipt here
                        raise error
                    while piece := response.raw.read(BLOCK_BYTES, decode_content=True):
                        if not size and is_html(_answer(response, piece, whole=False)):
                            raise Undocumented("a web page, not the API's answer", 200)
                        size += len(piece)
                        yield piece
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
                lost = of_loss(_lost(exc, session.wire.started))
                log("GET", shown, lost, began, 0, size)
                raise lost from exc
        self.tokens.accepted(token)
        log("GET", shown, 200, began, 0, size)


def _bytes_out(body: Body | None) -> int:
    return 0 if body is None else body.bytes_out


def log(method: str, url: str, answer: int | Exception, began: float, bytes_out: int, bytes_in: int) -> None:
    """Log a request and its answer, where anybody wants to know; neither headers nor bodies."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    took_ms = round((clock.monotonic() - began) * 1000)
    facts = {
        "method": method, "url": url, "status": answer if isinstance(answer, int) else None, "ms": took_ms,
        "bytes_out": bytes_out, "bytes_in": bytes_in,
    }  # fmt: skip
    text = f"{method} {url}: {answer}, {took_ms} ms, {bytes_out} bytes out, {bytes_in} in"
    LOG.debug("%s", text, extra={"event": "request", "facts": facts})


def _answer(response: requests.Response, content: bytes, *, whole: bool) -> Answer:
    headers = response.headers
    return Answer(
        response.status_code, response.reason or "", headers.get("Content-Type", ""), headers.get("Location"),
        headers.get("Retry-After"), headers.get("Date"), content, whole,
    )  # fmt: skip


def _lost(exc: Exception, started: bool) -> Lost:
    """Return what is known of a request without an answer."""
    chain: list[BaseException] = [exc]
    while (
        inner := chain[-1].__cause__ or chain[-1].__context__ or _reason(chain[-1])
    ) and inner not in chain:
        chain.append(inner)
    refusals = (c.verify_message for c in chain if isinstance(c, ssl.SSLCertVerificationError))
    detail = next((str(c) for c in reversed(chain) if str(c)), type(exc).__name__)
    return Lost(detail, started, next(refusals, None))


def _reason(exc: BaseException) -> BaseException | None:
    """Return the exception that requests or urllib3 carries in its arguments."""
    carried = [getattr(exc, "reason", None), *exc.args]
    return next((item for item in carried if isinstance(item, BaseException)), None)


def _content(response: requests.Response, longest_s: float, most_bytes: int) -> tuple[bytes, bool]:
    """Return what the answer holds, and whether it arrived whole; it may take `longest_s` in all."""
    content, until = bytearray(), clock.monotonic() + longest_s
    try:
        while piece := response.raw.read1(65536, decode_content=True):
            content += piece
            if len(content) > most_bytes:
                break
            if clock.monotonic() > until:
                return bytes(content), False
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return bytes(content), False  # the status is known all the same; `classify` decides
    return bytes(content), True
