"""What the server works on after it has accepted a request: phases in time, and an end."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CREATION, ADDITION, REINDEX, METADATA = "DATASET_CREATION", "MEDIA_ADDITION", "REINDEX", "CUSTOM_METADATA"
LAST_STEP = 90  # percent; from there on a creation can't be aborted
ABORTED_MESSAGE = "Processing was aborted."


@dataclass
class Work:
    """A piece of work. `began`, `aborted` are on the store's clock, in seconds; words are the dataset's status.

    For its first `lag_s` the status stays `before`; then come the phases; `failure` is why it fails, if it does.
    """

    task_id: str
    type: str
    began: float
    began_at: datetime
    before: str
    lag_s: float
    phases: tuple[tuple[str, float], ...]
    after: str
    after_failure: str
    failure: Any = None
    by: str | None = None  # None: the client that is tried here
    aborted: float | None = None

    @property
    def end(self) -> float:
        """When it is over, on the store's clock."""
        end = self.began + self.lag_s + self._takes_s
        return end if self.aborted is None else min(end, self.aborted)

    def over(self, now: float) -> bool:
        """Return whether it is over."""
        return now >= self.end

    def done(self, now: float) -> bool:
        """Return whether it has ended well."""
        return self.over(now) and self.failure is None and self.aborted is None

    def word(self, now: float) -> str:
        """Return the dataset's status."""
        if self.over(now):
            return self.after if self.done(now) else self.after_failure
        left = now - self.began - self.lag_s
        if left < 0:
            return self.before
        for word, seconds in self.phases:
            if left < seconds:
                return word
            left -= seconds
        return self.phases[-1][0]

    def progress(self, now: float) -> int:
        """Return the percentage."""
        if self.over(now):
            return 100
        return max(0, int(100 * (now - self.began - self.lag_s) / self._takes_s)) if self._takes_s else 0

    def status(self, now: float) -> str:
        """Return the task's status."""
        if self.over(now):
            return (
                "ABORTED" if self.aborted is not None else "COMPLETED" if self.failure is None else "FAILED"
            )
        return "INITIALIZING" if now < self.began + self.lag_s else "RUNNING"

    def message(self, now: float) -> Any:
        """Return why it failed, once it has."""
        if not self.over(now) or self.done(now):
            return None
        return ABORTED_MESSAGE if self.aborted is not None else self.failure

    @property
    def ended_at(self) -> datetime:
        """The moment of `end`."""
        return self.began_at + timedelta(seconds=self.end - self.began)

    @property
    def _takes_s(self) -> float:
        return sum(seconds for _, seconds in self.phases)


def creation_task(dataset_id: str) -> str:
    """Return the id of the task that makes a dataset."""
    return derived("creation", dataset_id)


def derived(what: str, of: str) -> str:
    """Return an id that belongs to another one."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what} {of}"))
