"""What the sending of a file needs of the source it is in."""

from typing import Protocol

from vl_ingest.domain.model import Facts


class OpenedFile(Protocol):
    """A file that is read once, from its start. Reading and checking raise `FileTrouble`."""

    def readinto(self, target: memoryview) -> int:
        """Fill `target` with what comes next, as far as it goes; return the number of bytes, 0 at the end."""

    def check(self, promised: Facts) -> None:
        """Go on if the file is what was promised, and untouched since the first check."""

    def close(self) -> None:
        """Close it."""


class Opener(Protocol):
    """Opens files by their path in the job; for any number of threads."""

    def open(self, path: str) -> OpenedFile:
        """Open a file, whatever it is, without waiting. Raises `FileTrouble`."""
