"""Answers that are not the documented ones, and answers that do not arrive."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from vl_ingest.sandbox.faults import Fault
from vl_ingest.sandbox.store import Refusal

PAGE = (
    "<!doctype html><html><head><title>Gateway</title></head><body><h1>One moment, please</h1></body></html>"
)


class Silence(Response):
    """What is sent to nobody: the connection is gone."""


class CutAnswer(Response):
    """The beginning of an answer, then a reset."""

    def __init__(self, answer: Response, reset: Callable[[], Awaitable[Response]]) -> None:
        super().__init__(answer.body, answer.status_code)
        self.raw_headers = answer.raw_headers  # with the length of the whole
        self._reset = reset

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it, as ASGI wants a response to."""
        half = bytes(self.body)[: len(self.body) // 2]
        if self.body:  # of an empty one nothing can be cut but all
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await send({"type": "http.response.body", "body": half, "more_body": True})
        await self._reset()


def success(answer: Any, receipt: int) -> Response:
    """Return the answer to a request that was carried out; None: it has no body."""
    if isinstance(answer, Response):
        return answer
    return Response(status_code=receipt) if answer is None else JSONResponse(answer, receipt)


def refused(refusal: Refusal) -> Response:
    """Return a refusal as the API writes it."""
    # What is too large is not read to its end.
    headers = {"connection": "close"} if refusal.status == 413 else {}
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers=headers)


def fault_answer(fault: Fault, *, close: bool = False) -> Response:
    """Return what a fault that is a status answers."""
    headers = fault.headers(datetime.now(UTC)) | ({"connection": "close"} if close else {})
    status = fault.status or 500
    if status in (204, 304):  # these have no body
        return Response(status_code=status, headers=headers)
    return JSONResponse({"detail": f"The sandbox was told to answer {status}."}, status, headers=headers)


def changed(answer: Response, fault: Fault) -> Response:
    """Return the answer to a request that was carried out, as a fault has it."""
    if fault.status:
        return fault_answer(fault)
    if fault.kind == "shape":
        return Response(fault.body, answer.status_code, media_type="application/json")
    if fault.kind == "word":
        facts = json.loads(bytes(answer.body))
        return JSONResponse(
            facts | dict.fromkeys(facts.keys() & {"status", "status_new"}, fault.to), answer.status_code
        )
    return HTMLResponse(PAGE, answer.status_code) if fault.kind == "html" else answer


async def error(_request: Request, exc: Exception) -> Response:
    """Answer what no route takes, and a fault of our own, as documented errors are answered."""
    if isinstance(exc, HTTPException):
        return JSONResponse({"detail": exc.detail}, exc.status_code, headers=exc.headers)
    return JSONResponse({"detail": f"The sandbox itself failed: {exc!r}"}, 500)
