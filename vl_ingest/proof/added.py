"""What was added after the upload, by the events: what begins a round is its receipt, or what stands for one."""

from dataclasses import dataclass
from typing import Any

from vl_ingest.domain.checks import Check, compared
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event, FileState
from vl_ingest.domain.naming import files_text


@dataclass
class Added:
    """Additions that began, with their files and bytes as far as these are sent; `intended` requests to add."""

    rounds: int = 0
    files: int = 0
    size_bytes: int = 0
    intended: int = 0

    def tell(self, event: Event, receipts: dict[int, Event]) -> None:
        """Take up one event; `receipts`, by batch, become those of additions, too."""
        facts, kind = event.facts, EventKind.known(event.kind)
        match kind:
            case EventKind.ADDITION_INTENDED:
                self.intended += 1
            case EventKind.ADDITION_ACKNOWLEDGED:
                self._count(receipts[facts["batch"]], 1)
            case EventKind.ADDITION_SETTLED_BEGUN | EventKind.ADDITION_SETTLED_BY_HAND:
                if facts.get("began", True):
                    receipts[facts["batch"]] = event
                    self._count(event, 1)
            case EventKind.ROUND_FAILED:
                self._count(receipts.pop(facts["batch"]), -1)

    def _count(self, receipt: Event, sign: int) -> None:
        self.rounds += sign > 0
        self.files += sign * receipt.facts["files"]
        self.size_bytes += sign * receipt.facts["size_bytes"]

    def totals(self, now: dict[str, Any], then: dict[str, Any]) -> Check:
        """Compare totals: what is sent now is what was sent when the upload ended, and what was added."""
        wanted = {
            "files": then.get("files", {}).get(FileState.SENT, 0) + self.files,
            "size_bytes": then.get("size_bytes", {}).get(FileState.SENT, 0) + self.size_bytes,
        }
        found = {key: now[key].get(FileState.SENT, 0) for key in wanted}
        counts = ", ".join(f"{count:,} {state}" for state, count in sorted(now["files"].items()))
        text = f"{counts}; {files_text(self.files)} of these added after the upload."
        if wanted != found:
            text = (
                f"By the receipts, {files_text(wanted['files'])} with {wanted['size_bytes']:,} bytes are sent; there are "
                f"{found['files']:,} with {found['size_bytes']:,} now."
            )
        return compared("totals", wanted == found, text, now=now, then=then, added=self.files)
