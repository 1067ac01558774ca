"""The SHA-256 of a file as it lies there, if it is still what is known of it."""

import hashlib
from collections.abc import Callable
from contextlib import closing

from vl_ingest.domain.model import Facts, FileRow
from vl_ingest.source import Source

BLOCK_BYTES = 1024 * 1024


def hash_of(source: Source, path: str, facts: Facts, check: Callable[[], None] = lambda: None) -> str:
    """Return the hash. Raises `FileTrouble` for a file that is not as `facts` say, or changes meanwhile.

    `check` is called after each block; what it raises ends the reading.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(max(1, facts.size_bytes), BLOCK_BYTES)))
    with closing(source.open(path)) as file:
        file.check(facts)
        while count := file.readinto(buffer):
            check()
            digest.update(buffer[:count])
        file.check(facts)
    return digest.hexdigest()


def is_only_touched(
    source: Source, row: FileRow, facts: Facts, check: Callable[[], None] = lambda: None
) -> bool:
    """Return whether a file that was sent, and has these facts now, still has the content that was sent.

    It is read only where its size is the same. Without a hash of what was sent, it counts as changed. Raises `FileTrouble`
    as `hash_of` does.
    """
    same_size = row.sha256 is not None and facts.size_bytes == row.facts.size_bytes
    return same_size and hash_of(source, row.path, facts, check) == row.sha256
