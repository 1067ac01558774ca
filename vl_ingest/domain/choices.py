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


class Changed(StrEnum):
    """What becomes of files that were changed after they were sent, when new ones are added (`--changed`)."""

    HOLD = "hold"
    SEND = "send"


class Reindex(StrEnum):
    """Whether the dataset is reindexed after the last addition of a run (`--reindex`)."""

    AUTO = "auto"
    NEVER = "never"
