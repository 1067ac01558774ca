"""The errors that the library raises, for programs: `from vl_ingest.errors import VlIngestError`."""

from vl_ingest.domain.errors import *  # noqa: F403  # all of them are public
