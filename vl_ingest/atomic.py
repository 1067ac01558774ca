"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OPEN_ALREADY = ("/dev/std", "/dev/fd/", "/proc/")  # names of what a process has open, whatever that is


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file to, which takes that name at the end of the block.

    If the block raises, what was there stays as it was. A link stays one. What is no file of its own, as a pipe, a device
    or `/dev/stdout`, is given itself, to be written to. Raises `OSError` as writing and renaming do.
    """
    if (target.exists() and not target.is_file()) or os.path.abspath(target).startswith(OPEN_ALREADY):
        yield target
        return
    target = Path(os.path.realpath(target))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
