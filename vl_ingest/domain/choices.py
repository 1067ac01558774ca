"""What a person decides beforehand: the choices that options and settings give."""

from enum import StrEnum


class OnUnknown(StrEnum):
    """What settles a file whose delivery is unknown (`--on-unknown`)."""

    RESEND = "resend"
    HOLD = "hold"


class OnRejected(StrEnum):
    """What becomes of files that the server rejects (`--on-rejected`)."""

    HOLD = "hold"
    SKIP = "skip"


class Reindex(StrEnum):
    """Whether the dataset is reindexed after the last addition of a run (`--reindex`)."""

    AUTO = "auto"
    NEVER = "never"
