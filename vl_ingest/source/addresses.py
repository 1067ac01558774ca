"""Which source an address is of. Another kind of source is told from a folder here, and nowhere else."""

from vl_ingest.source import Source
from vl_ingest.source.folder import Folder


def source_named(name: str) -> Source:
    """Return the source that a person names. Raises `UsageError` if there is none."""
    return Folder.at(name)


def source_at(address: str) -> Source:
    """Return the source at an address, as the ledger has it, whether it is there now or not."""
    return Folder(address)
