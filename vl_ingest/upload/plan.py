"""What is sent together: how files are cut into batches and additions, and what is refused in two.

Decisions on values, and on the hour where the rate depends on it. `backlog` and `additions.choose` claim by it, `preview`
counts by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vl_ingest import clock
from vl_ingest.domain.model import FileRow
from vl_ingest.domain.settings import Settings
from vl_ingest.domain.timetable import Timetable

TAIL_BYTES = 1024 * 1024
PACED_S = 30.0


@dataclass
class Room:
    """A batch that is being filled: the room that is left in it."""

    files: int
    size_bytes: int
    empty: bool = True

    def take(self, file_bytes: int) -> bool:
        """Put a file in and return True, if there is room for it; the first one always goes in."""
        if not self.empty and (self.files < 1 or file_bytes > self.size_bytes):
            return False
        self.files -= 1
        self.size_bytes -= file_bytes
        self.empty = False
        return True


class BatchLimits:
    """What one request may hold: by the settings, by what the server has refused, and by what is left to send.

    `too_large_bytes` is the size of the smallest body that the server has refused for its size; None: of none yet.
    """

    def __init__(self, settings: Settings, too_large_bytes: int | None) -> None:
        self.too_large_bytes = too_large_bytes
        self._settings = settings
        self._timetable = Timetable(settings.bwlimit)

    def room(self, workers: int, left_bytes: int | None = None) -> Room:
        """Return an empty batch for one of `workers`; `left_bytes` is all that is left to send, where that is known."""
        limits = [self._most(self._settings.batch_bytes)]
        if (rate := self._timetable.rate(clock.local())) is not None:
            # A request takes about half a minute, however slow it is to be: so much is lost with one, and so long
            # the end of a run has to wait.
            limits.append(max(1, int(rate * PACED_S / workers)))
        if left_bytes is not None:
            # Smaller and smaller parts, so that all workers end together; but none that costs more than its bytes.
            limits.append(max(TAIL_BYTES, -(-left_bytes // workers)))
        return Room(self._settings.batch_size, min(limits))

    def addition(self) -> Room:
        """Return an empty batch for an addition."""
        return Room(self._settings.add_files, self._most(self._settings.add_bytes))

    def _most(self, wanted_bytes: int) -> int:
        # Half of what was refused is safe to try; near that size each try would cost a refused upload.
        return wanted_bytes if self.too_large_bytes is None else min(wanted_bytes, self.too_large_bytes // 2)

    def learn_too_large(self, body_bytes: int) -> None:
        """Note that the server has refused a body for its size."""
        self.too_large_bytes = min(body_bytes, self.too_large_bytes or body_bytes)

    def is_too_large(self, body_bytes: int, files: int) -> bool:
        """Return whether to split a batch without sending it; a single file is sent and judged by the server."""
        return files > 1 and self.too_large_bytes is not None and body_bytes >= self.too_large_bytes


def halves(files: Sequence[FileRow]) -> list[Sequence[FileRow]]:
    """Cut a batch of two files or more in two."""
    middle = len(files) // 2
    return [files[:middle], files[middle:]]
