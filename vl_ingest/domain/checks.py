"""What a check comes to: one of the doctor's, before a run, or one of `verify`, after it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vl_ingest.domain.errors import Differs, VlIngestError


class Grade(StrEnum):
    """How good it is."""

    OK = "ok"
    WARNING = "warning"  # a run works, but not as well or as long as it could
    FAILED = "failed"
    UNANSWERED = "unanswered"  # there was nothing to compare with, or nobody could look


@dataclass(frozen=True)
class Check:
    """One check: its name, how good it is, and in words what was found and what to do.

    `exit_code` is what a run, or `verify`, ends with (0 unless it failed); `facts` say the same to programs.
    """

    name: str
    grade: Grade
    text: str
    exit_code: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool | None:
        """Whether it is as it should be; None where that can't be said."""
        return {Grade.OK: True, Grade.FAILED: False}.get(self.grade)


def ok(name: str, text: str, **facts: Any) -> Check:
    """Return that something is as it should be."""
    return Check(name, Grade.OK, text, facts=facts)


def warning(name: str, text: str, **facts: Any) -> Check:
    """Return that something may become trouble."""
    return Check(name, Grade.WARNING, text, facts=facts)


def failed(name: str, error: VlIngestError, **facts: Any) -> Check:
    """Return that a run would end with this error."""
    return Check(name, Grade.FAILED, str(error), error.exit_code, facts)


def not_checked(*names: str) -> Check:
    """Return that these checks were not made, because one before them failed."""
    return Check("not checked", Grade.UNANSWERED, f"{', '.join(names)}: fix what failed first.")


def compared(name: str, held: bool | None, text: str, **facts: Any) -> Check:
    """Return whether something is what was recorded; `held` is None where there was nothing to compare with."""
    grade = Grade.UNANSWERED if held is None else Grade.OK if held else Grade.FAILED
    return Check(name, grade, text, Differs.exit_code if held is False else 0, facts)
