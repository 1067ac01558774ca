"""The states and values that the library returns, for programs: `from vl_ingest.model import FileState`."""

from vl_ingest.domain.checks import Check, Grade  # noqa: F401  # public
from vl_ingest.domain.choices import *  # noqa: F403  # public
from vl_ingest.domain.formats import MEDIA_TYPES  # noqa: F401  # public
from vl_ingest.domain.model import *  # noqa: F403  # all of them are public
