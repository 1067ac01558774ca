"""Media that are added to a dataset that has been processed, and the reindex that they want."""

import hashlib
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from starlette.requests import Request

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry, Happens
from vl_ingest.sandbox.ingestion import keep
from vl_ingest.sandbox.media import misfortunes
from vl_ingest.sandbox.receive import (
    Body,
    Part,
    Receiver,
    check_is_file,
    check_medium,
    check_part,
    invalid,
)
from vl_ingest.sandbox.rules import Rules
from vl_ingest.sandbox.store import Refusal, Store

SOURCES = ("files", "archive", "s3_uri")
BLOCK_BYTES = 1024 * 1024
SOMEBODY_ELSE = "somebody@example.com"


class Added(NamedTuple):
    """A file of an addition."""

    name: str
    size_bytes: int
    sha256: str


class Additions:
    """Each request is upload and trigger in one. What arrives lies in `incoming`, and in `kept` if it is kept."""

    def __init__(self, store: Store, rules: Rules, happens: Happens, incoming: Path, kept: Path) -> None:
        self._store = store
        self._rules = rules
        self._happens = happens
        self._incoming = incoming
        self._kept = kept

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        one = "/api/v1/dataset/{dataset}"
        return [
            Endpoint(
                "add", "POST", f"{one}/add_media", 202, self._add,
                receive=self._receive, check=self._check, names=_names, feature="add",
            ),
            Endpoint("reindex", "POST", f"{one}/reindex", 202, self._reindex, feature="reindex"),
        ]  # fmt: skip

    def by_somebody(self, dataset_id: str, seconds: float, name: str) -> list[Entry]:
        """Return the entries of an addition that somebody else makes, if one can be made now."""
        try:
            self._store.check_addition(dataset_id)
        except Refusal:
            return []
        added = Added(name, 1, hashlib.sha256(b"x").hexdigest())
        facts = {"auto_reindex": True, "by": SOMEBODY_ELSE, "seconds": seconds}
        return _entries(dataset_id, 0, [added], facts)

    def _receive(self, request: Request) -> Receiver:
        return Receiver(
            request.headers.get("content-type", ""), self._incoming,
            images=self._rules.check_images, keep=self._rules.keep_files, kept=("archive",),
        )  # fmt: skip

    def _check(self, call: Call) -> list[Added]:
        body = call.body
        assert isinstance(body, Receiver)  # noqa: S101  # as `_receive` makes it
        self._store.check_addition(call.dataset_id)
        body.check()
        fields = {part.field_name for part in body.parts}
        if unknown := fields - {*SOURCES, "auto_reindex"}:
            raise invalid(min(unknown), "unexpected field")
        sources = fields & {*SOURCES}
        if len(sources) != 1:
            raise Refusal(400, "Exactly one of files, archive and s3_uri is needed.")
        if sources == {"s3_uri"}:
            raise Refusal(400, "The address can't be read from here.")
        parts = [part for part in body.parts if part.field_name in sources]
        for part in parts:
            check_is_file(part)
        if sources == {"files"}:
            for part in parts:
                check_part(part, images=self._rules.check_images)
            return [Added(part.file_name or "", part.size_bytes, part.digest.hexdigest()) for part in parts]
        if len(parts) != 1:
            raise Refusal(400, "Only one archive can be added at once.")
        return list(self._unpacked(parts[0]))

    def _unpacked(self, part: Part) -> Iterator[Added]:
        """Yield the files of an archive; refuse all of it for one."""
        found = False
        for name, size_bytes, file in _members(part):
            found = True
            check_medium(name, size_bytes)
            digest = hashlib.sha256()
            while piece := file.read(BLOCK_BYTES):
                digest.update(piece)
            if self._rules.check_images:
                file.seek(0)
                check_medium(name, size_bytes, file)
            yield Added(name, size_bytes, digest.hexdigest())
        if not found:
            raise Refusal(400, "The archive holds no files.")

    def _add(self, call: Call) -> tuple[list[Entry], Any]:
        assert isinstance(call.body, Receiver)  # noqa: S101  # as `_receive` makes it
        self._store.check_addition(call.dataset_id)
        facts: dict[str, Any] = {"auto_reindex": _auto_reindex(call.body)}
        if (fault := self._happens("addition", "")) is not None:
            facts["failure"] = fault.message
        if facts["auto_reindex"] and (fault := self._happens("reindexing", "")) is not None:
            facts["reindex_failure"] = fault.message
        entries = _entries(call.dataset_id, call.number, call.checked, facts)
        if self._rules.keep_files:
            keep(call.body.parts, self._kept, call.number)
        return [*entries, *misfortunes(entries[:-1], self._happens)], None

    def _reindex(self, call: Call) -> tuple[list[Entry], Any]:
        self._store.check_reindex(call.dataset_id)
        entry = {"kind": "reindex_accepted", "dataset_id": call.dataset_id, "task_id": str(uuid.uuid4())}
        if (fault := self._happens("reindexing", "")) is not None:
            entry["reindex_failure"] = fault.message
        return [entry], None


def _entries(dataset_id: str, number: int, added: list[Added], facts: dict[str, Any]) -> list[Entry]:
    where = {"dataset_id": dataset_id, "task_id": str(uuid.uuid4()), "request": number}
    files = [
        {
            "kind": "file_received", **where, "transaction_id": None, "name": one.name,
            "size_bytes": one.size_bytes, "sha256": one.sha256,
        }
        for one in added
    ]  # fmt: skip
    return [*files, {"kind": "addition_accepted", **where, "files": len(files), **facts}]


def _auto_reindex(body: Receiver) -> bool:
    texts = [
        part.value.decode("utf-8", "replace") for part in body.parts if part.field_name == "auto_reindex"
    ]
    if len(texts) > 1 or (texts and texts[0].lower() not in ("true", "false")):
        raise invalid("auto_reindex", "true or false is wanted")
    return bool(texts) and texts[0].lower() == "true"


def _names(body: Body) -> list[str]:
    names = [p.file_name for p in body.parts if p.field_name == "files" and p.file_name is not None]
    for part in body.parts:
        if part.field_name == "archive" and part.path is not None:
            names += [name for name, _, _ in _members(part)]
    return names


def _members(part: Part) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, size and content of each file in an archive."""
    name = (part.file_name or "").lower()
    if part.path is None or not name.endswith((".zip", ".tar", ".tar.gz")):
        raise Refusal(400, f"Unsupported archive: {part.file_name}")
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(part.path) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        with archive.open(entry) as file:
                            yield entry.filename, entry.file_size, file
            return
        with tarfile.open(part.path, "r:gz" if name.endswith(".gz") else "r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield member.name, member.size, content
                elif not member.isdir():
                    raise Refusal(400, f"Neither a file nor a folder: {member.name}")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as exc:
        raise Refusal(400, f"Can't read the archive: {exc}") from exc
