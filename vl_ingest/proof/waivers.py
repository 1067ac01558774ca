"""Who waived what, by the events: people each file by name, filters many at once, with the sum of their rows."""

from collections import defaultdict
from dataclasses import dataclass, field

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FILTER, Event
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.chain import RowSum

OLDER = (None, None)  # in rows from before they held who decided


@dataclass
class Waivers:
    """What the rows of waived files must be by the events told so far."""

    # Path and version -> by whom, why.
    by_name: dict[tuple[str, int], tuple[str | None, str | None]] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)  # path -> its newest version, if not the first
    by_filter: defaultdict[str | None, RowSum] = field(default_factory=lambda: defaultdict(RowSum))

    def tell(self, event: Event) -> None:
        """Take up one event."""
        facts = event.facts
        match EventKind.known(event.kind):
            case EventKind.FILE_WAIVED:
                path = facts["path"]
                self.by_name[path, self.newest.get(path, 1)] = (facts.get("by"), facts.get("why"))
            case EventKind.FILE_VERSION_QUEUED:
                self.newest[facts["path"]] = facts["version"]
            case EventKind.FILES_FILTERED_OUT:
                self.by_filter[facts["filter"]].tell(facts["files"], facts["digest"], more=True)
            case EventKind.FILES_LET_IN:
                self.by_filter[facts["filter"]].tell(facts["files"], facts["digest"], more=False)

    def differ(self, ledger: Ledger, job_id: str) -> list[str]:
        """Return which waived files, or those of which filter, are not what the events say."""
        found: defaultdict[str | None, RowSum] = defaultdict(RowSum)
        wrong: list[str] = []
        for by, why, version, row in ledger.seals.waived(job_id):
            if by == FILTER:
                found[why].add(row)
                continue
            said = self.by_name.get((row.path, version))
            if said is None or (by, why) not in (OLDER, said):
                wrong.append(row.path)
        for said_by in sorted({*found, *self.by_filter}, key=str):
            then, now = self.by_filter[said_by], found[said_by]
            if then.count != now.count:
                wrong.append(f"{now.count:,} files by {said_by}, on record {then.count:,}")
            elif then.digest != now.digest:
                wrong.append(f"the files by {said_by}")
        return wrong
