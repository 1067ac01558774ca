"""Which source an address is of. Another kind of source is told from a folder here, and nowhere else."""

from vl_ingest.source import Source
from vl_ingest.source.folder import Folder


def existing_source(name: str) -> Source:
    """Return the source that a person or the ledger names. Raises `UsageError` if it is not there."""
    return Folder.at(name)


def source_at(address: str) -> Source:
    """Return the source at an address, whether it is there now or not."""
    return Folder(address)
