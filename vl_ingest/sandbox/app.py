"""The endpoints, as documented, and the faults laid over them."""

import asyncio
import itertools
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vl_ingest.sandbox.faults import Fault, FaultPlan
from vl_ingest.sandbox.receive import Receiver
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.store import Refusal, Store

PAGE = (
    "<!doctype html><html><head><title>Gateway</title></head><body><h1>One moment, please</h1></body></html>"
)
RECEIPTS = {"create": 200, "open": 200, "upload": 202, "trigger": 202, "status": 200}

Transports = dict[tuple[str, int], asyncio.Transport]


@dataclass(frozen=True)
class Rules:
    """What the server insists on."""

    credentials: tuple[str, str] | None = None  # API key and secret; None: on-premises, no header wanted
    max_request_bytes: int | None = None
    check_images: bool = True
    keep_files: bool = False


class App:
    """The server's behaviour. `transports` finds the connection of a request, for resets."""

    def __init__(
        self,
        record: Record,
        store: Store,
        faults: FaultPlan,
        rules: Rules,
        transports: Transports,
        root: Path,
    ) -> None:
        self.stopping = False
        self._record = record
        self._store = store
        self._faults = faults
        self._rules = rules
        self._transports = transports
        self._incoming = root / "incoming"
        self._incoming.mkdir(exist_ok=True)
        self._kept = root / "files"
        self._numbers = itertools.count(len(record.entries("request")) + 1)
        self._started = time.monotonic()
        ingestion = "/api/v1/ingestion"
        self.asgi = Starlette(
            routes=[
                Route(f"{ingestion}/new_dataset", self._endpoint("create", self._create)),
                Route(f"{ingestion}/{{dataset}}/data_files", self._endpoint("open", self._open)),
                Route(
                    f"{ingestion}/{{dataset}}/data_files/{{transaction:int}}",
                    self._endpoint("upload", self._upload),
                    methods=["POST"],
                ),
                Route(
                    f"{ingestion}/{{dataset}}/process_files/{{transaction:int}}",
                    self._endpoint("trigger", self._trigger),
                    methods=["POST"],
                ),
                Route("/api/v1/dataset/{dataset}", self._endpoint("status", self._status)),
                Route("/sandbox/record", self._read_record),
                Route("/sandbox/files", self._read_files),
            ]
        )

    # The documented behaviour: each returns the entries to record and the answer

    def _create(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        name = request.query_params.get("dataset_name")
        if not name:
            raise Refusal(422, [{"loc": ["query", "dataset_name"], "msg": "field required"}])
        entry = self._store.new_dataset(name)
        return [entry], {"dataset_id": entry["dataset_id"]}

    def _open(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        entry = self._store.new_transaction(request.path_params["dataset"])
        return [entry], {"trans_id": entry["transaction_id"]}

    def _upload(self, request: Request, number: int, body: Receiver | None) -> tuple[list[Any], Any]:
        assert body is not None  # noqa: S101  # an upload is always received first
        where = {
            "dataset_id": request.path_params["dataset"],
            "transaction_id": request.path_params["transaction"],
            "request": number,
        }
        self._store.check_upload(where["dataset_id"], where["transaction_id"])
        entries = [
            {
                "kind": "file_received", **where, "name": part.file_name, "size_bytes": part.size_bytes,
                "sha256": part.digest.hexdigest(),
            }
            for part in body.parts
        ]  # fmt: skip
        if self._rules.keep_files:
            self._kept.mkdir(exist_ok=True)
            for index, part in enumerate(body.parts):
                part.path.rename(self._kept / f"{number:06}-{index:04}")
        return [*entries, {"kind": "batch_accepted", **where, "files": len(entries)}], {"status": "accepted"}

    def _trigger(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        entry = self._store.trigger(request.path_params["dataset"], request.path_params["transaction"])
        return [entry], {"status": "accepted"}

    def _status(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        return [], self._store.status(request.path_params["dataset"])

    # Around every request

    def _endpoint(
        self, name: str, carry_out: Callable[[Request, int, Receiver | None], tuple[list[Any], Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            number = next(self._numbers)
            fault = self._faults.next(name, time.monotonic() - self._started)
            body: Receiver | None = None
            status: int | None = None
            try:
                if fault is not None and fault.kind == "reset-before":
                    return await self._reset(request)
                if fault is not None and fault.status and fault.early and not fault.done:
                    status = fault.status
                    return _fault_answer(fault, close=True)
                self._authorise(request)
                if name == "upload":
                    self._limit(request)
                    body = await self._receive(request, fault)
                    if body is None:
                        return await self._reset(request)
                    names = [part.file_name for part in body.parts]
                    named = self._faults.next_named(name, time.monotonic() - self._started, names)
                    fault = fault or named
                response = await self._before(request, fault, RECEIPTS[name])
                if response is None:
                    if body is not None:
                        self._store.check_upload(
                            request.path_params["dataset"], request.path_params["transaction"]
                        )
                        await run_in_threadpool(body.check, images=self._rules.check_images)
                    entries, answer = carry_out(request, number, body)
                    self._record.append(*entries)
                    for entry in entries:
                        self._store.apply(entry)
                    response = await self._after(request, fault, JSONResponse(answer, RECEIPTS[name]))
                status = response.status_code if response.headers.get("x-none") is None else None
                return response
            except Refusal as refusal:
                status = refusal.status
                close = {"connection": "close"} if refusal.status == 413 else {}
                return JSONResponse({"detail": refusal.detail}, refusal.status, headers=close)
            except ClientDisconnect:
                return _nothing()
            finally:
                if body is not None:
                    body.discard()
                self._record.append(
                    {
                        "kind": "request", "number": number, "endpoint": name, "method": request.method,
                        "path": request.url.path, "status": status, "fault": fault and fault.kind,
                        "authorization": "authorization" in request.headers,
                        "user_agent": request.headers.get("user-agent"),
                        "body_bytes": int(request.headers.get("content-length", 0)),
                    }
                )  # fmt: skip

        return endpoint

    async def _before(self, request: Request, fault: Fault | None, receipt: int) -> Response | None:
        """Return the answer of a fault that keeps the request from being carried out."""
        if fault is None:
            return None
        if fault.status and not fault.done:
            return _fault_answer(fault)
        if fault.kind == "hang":
            await self._sleep(3600.0 if fault.seconds is None else fault.seconds)
        if fault.kind in ("hang", "reset-after"):
            return await self._reset(request)
        if fault.kind == "html-lost":
            return HTMLResponse(PAGE, receipt)
        if fault.kind == "redirect":
            return Response(status_code=307, headers={"location": fault.to})
        return None

    async def _after(self, request: Request, fault: Fault | None, answer: Response) -> Response:
        """Return the answer to a request that was carried out, as a fault lets it through."""
        if fault is None:
            return answer
        if fault.status and fault.done:
            return _fault_answer(fault)
        if fault.kind == "lost-answer":
            return await self._reset(request)
        if fault.kind == "slow":
            await self._sleep(fault.seconds or 1.0)
        if fault.kind == "html":
            return HTMLResponse(PAGE, answer.status_code)
        if fault.kind == "cut-answer":
            return StreamingResponse(
                self._cut(request),
                answer.status_code,
                headers={"content-length": "1000"},
                media_type="application/json",
            )
        return answer

    async def _cut(self, request: Request) -> AsyncIterator[bytes]:
        yield b'{"status": "acc'
        self._transports[_client(request)].close()
        await _disconnected(request)

    def _authorise(self, request: Request) -> None:
        if self._rules.credentials is None:
            return
        key, secret = self._rules.credentials
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refusal(401, "The token is missing.")
        try:
            if jwt.get_unverified_header(token).get("kid") != key:
                raise Refusal(401, "The token names an unknown key.")
            claims = jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                issuer="sdk",
                options={"require": ["sub", "iss", "iat", "exp"]},
            )
        except jwt.PyJWTError as exc:
            raise Refusal(401, f"The token is invalid: {exc}") from exc
        if claims["sub"] != key or not all(isinstance(claims[claim], int) for claim in ("iat", "exp")):
            raise Refusal(401, "The token's claims are wrong.")

    def _limit(self, request: Request) -> None:
        limit = self._rules.max_request_bytes
        if limit is not None and int(request.headers.get("content-length", 0)) > limit:
            raise Refusal(413, f"The request is larger than {limit} bytes.")

    async def _receive(self, request: Request, fault: Fault | None) -> Receiver | None:
        """Take the body; None where a fault wants the connection reset within it."""
        body = Receiver(request.headers.get("content-type", ""), self._incoming)
        length = int(request.headers.get("content-length", 0))
        stop = None
        if fault is not None and fault.kind == "reset-inside":
            stop = length // 2 if fault.bytes is None else fault.bytes
        taken = 0
        try:
            async for piece in request.stream():
                taken += len(piece)
                if stop is not None and taken >= stop:
                    body.discard()
                    return None
                if piece:
                    body.write(piece)
                if fault is not None and fault.kind == "slow-read":
                    await self._sleep(len(piece) / (fault.rate or 1024 * 1024))
                limit = self._rules.max_request_bytes
                if limit is not None and taken > limit:
                    raise Refusal(413, f"The request is larger than {limit} bytes.")
        except BaseException:
            body.discard()
            raise
        return body

    async def _reset(self, request: Request) -> Response:
        """Reset the connection, so that no answer arrives."""
        transport = self._transports.get(_client(request))
        if transport is not None:
            handle: socket.socket = transport.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        await _disconnected(request)
        return _nothing()

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.05))

    # What arrived, for reading

    async def _read_record(self, _request: Request) -> Response:
        return StreamingResponse(
            (json.dumps(entry) + "\n" for entry in self._record.entries()), media_type="application/jsonl"
        )

    async def _read_files(self, request: Request) -> Response:
        arrivals = self._record.files(request.query_params.get("dataset_id"))
        return JSONResponse([arrival.__dict__ for arrival in arrivals])


def _fault_answer(fault: Fault, *, close: bool = False) -> Response:
    headers = {"connection": "close"} if close else {}
    if fault.retry_after is not None:
        kind, _, seconds = fault.retry_after.rpartition(":")
        moment = datetime.now(UTC) + timedelta(seconds=float(seconds))
        headers["retry-after"] = format_datetime(moment, usegmt=True) if kind == "date" else seconds
    detail = f"The sandbox was told to answer {fault.status}."
    return JSONResponse({"detail": detail}, fault.status or 500, headers=headers)


def _nothing() -> Response:
    """Return what is sent to nobody: the connection is gone."""
    return Response(status_code=204, headers={"x-none": "yes"})


def _client(request: Request) -> tuple[str, int]:
    assert request.client is not None  # noqa: S101  # TCP always has one
    return (request.client.host, request.client.port)


async def _disconnected(request: Request) -> None:
    """Wait until the server has noticed that the connection is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
