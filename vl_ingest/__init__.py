"""Uploads a folder of images and videos to a Visual Layer dataset, once and completely.

What stands in `__all__` is public, and so is what the modules `errors` and `model` hold; the rest may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Ingest", "Observer", "Progress", "Settings", "Summary", "VlIngestError", "__version__"]

if TYPE_CHECKING:
    from vl_ingest.config import Settings
    from vl_ingest.errors import VlIngestError
    from vl_ingest.ingest import Ingest
    from vl_ingest.observer import Observer, Progress
    from vl_ingest.summary import Summary

_ROOMS = {
    "Ingest": "ingest",
    "Observer": "observer",
    "Progress": "observer",
    "Settings": "config",
    "Summary": "summary",
    "VlIngestError": "errors",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line starts without it."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
