"""Uploads a folder of images and videos to a Visual Layer dataset, once and completely.

What stands in `__all__` is public, and so is what the modules `errors` and `model` hold; the rest may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vl_ingest.version import __version__

__all__ = ["Ingest", "Observer", "Progress", "Settings", "Summary", "VlIngestError", "__version__"]

if TYPE_CHECKING:
    from vl_ingest.domain.errors import VlIngestError
    from vl_ingest.domain.settings import Settings
    from vl_ingest.ingest import Ingest
    from vl_ingest.ledger.summary import Summary
    from vl_ingest.observers.observer import Observer, Progress

_HOMES = {
    "Ingest": "ingest",
    "Observer": "observers.observer",
    "Progress": "observers.observer",
    "Settings": "domain.settings",
    "Summary": "ledger.summary",
    "VlIngestError": "domain.errors",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line starts without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
