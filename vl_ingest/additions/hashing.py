"""The SHA-256 of a file as it lies there, if it is still what the ledger knows."""

import hashlib
from contextlib import closing

from vl_ingest.domain.model import Facts
from vl_ingest.run.context import Context

BLOCK_BYTES = 1024 * 1024


def hash_of(context: Context, path: str, facts: Facts) -> str:
    """Return the hash. Raises `FileTrouble` for a file that is not as `facts` say, or changes meanwhile."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(max(1, facts.size_bytes), BLOCK_BYTES)))
    with closing(context.source.open(path)) as file:
        file.check(facts)
        while count := file.readinto(buffer):
            context.cancel_token.raise_if_cancelled()
            digest.update(buffer[:count])
        file.check(facts)
    return digest.hexdigest()
