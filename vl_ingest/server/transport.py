"""How one request is made: exactly once, with a token or none, and what became of it.

Nothing here repeats a request, follows a redirect, or decides what to do next.
"""

import hashlib
import logging
import ssl
import threading
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple, Self

import requests
import urllib3

from vl_ingest import clock
from vl_ingest.domain.errors import (
    CredentialsRefused,
    NotDelivered,
    OutcomeUnknown,
    Refused,
    RequestError,
    Undocumented,
)
from vl_ingest.server.answers import classify, is_html
from vl_ingest.server.body import Body
from vl_ingest.server.tokens import Token, Tokens
from vl_ingest.server.wire import Bearer, Session

ANSWER_BYTES = 1024 * 1024  # more of an answer is not read
KEPT_S = (
    4.0  # servers close a silent connection after 5 s at the earliest, perhaps as the next request is sent
)
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
        self.base_url = base_url
        self.tokens = tokens
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._kept = threading.local()

    @classmethod
    def beside(cls, other: "Transport") -> Self:
        """Return what sends to the same server, with the same credentials and the same patience."""
        connect_s, read_s = other._timeout  # noqa: SLF001  # one of its own kind
        return cls(other.base_url, other.tokens, connect_timeout_s=connect_s, read_timeout_s=read_s)

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

    def _send_files(self, session: Session, path: str, body: Body) -> int:
        """Send files and return the status of the receipt, 202; what the answer's body says is ignored.

        Raises `FileTrouble` too, from the body.
        """
        try:
            self._send(session, "POST", path, 202, body=body)
        except OutcomeUnknown as exc:
            if body.bytes_out == 0 and exc.http_status is None:
                raise NotDelivered(exc.detail) from exc
            raise
        if session.wire.cut or body.bytes_out < len(body):
            raise OutcomeUnknown("the receipt came before the files were sent", 202)
        return 202

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
    ) -> bytes:
        """Send a request below `/api/v1` and return what its receipt holds, at most `answer_bytes` and a piece."""
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
                content, whole = _content(response, self._timeout[1], answer_bytes)
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
            session.wire.timeout_s = self._timeout[1]
            try:
                with session.request(
                    "GET", url, auth=Bearer(token), timeout=self._timeout, allow_redirects=False, stream=True
                ) as response:
                    if response.status_code != 200:
                        content, whole = _content(response, self._timeout[1], ANSWER_BYTES)
                        _log("GET", shown, response.status_code, began, None, len(content))
                        error = classify(response, content, (), whole=whole, token=token)
                        assert error is not None  # noqa: S101  # nothing is a receipt here
                        raise error
                    while piece := response.raw.read(BLOCK_BYTES, decode_content=True):
                        if not size and is_html(response, piece):
                            raise Undocumented("unexpected answer: a page of HTML", 200)
                        size += len(piece)
                        yield piece
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
                lost = _lost(exc, session.wire.started)
                _log("GET", shown, lost, began, None, size)
                raise lost from exc
        self.tokens.accepted(token)
        _log("GET", shown, 200, began, None, size)


def _log(
    method: str, url: str, answer: int | Exception, began: float, body: Body | None, bytes_in: int
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
                f"The server's certificate can't be trusted: {cause.verify_message}. If it is your own, set "
                "REQUESTS_CA_BUNDLE to its authority and run the same command again."
            )
    detail = next((str(c) for c in reversed(chain) if str(c)), type(exc).__name__)
    return OutcomeUnknown(detail) if started else NotDelivered(detail)


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
