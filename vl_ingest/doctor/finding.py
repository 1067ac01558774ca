"""What a check of the doctor comes to."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vl_ingest.domain.errors import VlIngestError


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    WARNING = "warning"  # a run works, but not as well or as long as it could
    FAILED = "failed"  # a run would end with `exit_code`


@dataclass(frozen=True)
class Finding:
    """One check: its name, how good it is, and in words what was found and what mends it.

    `exit_code` is what a run would end with (0 unless it failed); `facts` say the same to programs.
    """

    name: str
    grade: Grade
    text: str
    exit_code: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def ok(name: str, text: str, **facts: Any) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(name, Grade.OK, text, facts=facts)


def warning(name: str, text: str, **facts: Any) -> Finding:
    """Return a finding that may become trouble."""
    return Finding(name, Grade.WARNING, text, facts=facts)


def failed(name: str, error: VlIngestError, **facts: Any) -> Finding:
    """Return the finding that a run would end with this error."""
    return Finding(name, Grade.FAILED, str(error), error.exit_code, facts)
