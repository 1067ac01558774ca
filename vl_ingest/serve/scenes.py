"""What each address shows, made of the ledger's rows: a scene is a page, and its parts are what changes on it."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.model import FINISHED, Counts, FileState, Job, JobState
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.reader import Reader
from vl_ingest.ledger.runs import is_alive
from vl_ingest.report.chart import draw
from vl_ingest.serve.follow import Follower
from vl_ingest.serve.standing import Seen, Standing, share_done, standing, wanted_bytes
from vl_ingest.version import __version__

CATCH_UP_S = 0.4  # of one look, for a history that was never looked at
MOMENTS = 20
FOLLOWED = 64  # jobs whose history is kept in memory
COMMAND = re.compile(r"`([^`]+)`")
LEAST_SEGMENT = 0.004  # of the bar: also one file of a million is seen

MEANING: Mapping[FileState, str] = {
    FileState.SENT: "acknowledged, or taken as delivered",
    FileState.IN_FLIGHT: "being sent now",
    FileState.PENDING: "still to be sent",
    FileState.UNKNOWN: "may have been delivered; the answer was lost",
    FileState.REJECTED: "refused by the server",
    FileState.CHANGED: "kept changing while being sent",
    FileState.MISSING: "not in the folder",
    FileState.UNREADABLE: "can't be read",
    FileState.EMPTY: "has no bytes",
    FileState.WAIVED: "left out by a filter or a decision",
}


@dataclass(frozen=True)
class Scene:
    """What one address shows; `parts` by name change while it is looked at."""

    template: str
    title: str
    parts: Mapping[str, str]
    facts: Mapping[str, Any]


class Scenes:
    """Makes scenes; from any number of threads."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._lock = threading.Lock()
        self._followers: OrderedDict[str, Follower] = OrderedDict()
        self._counted: dict[str, tuple[int, Counts]] = {}  # job -> its events then, and its counts
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True,
            lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        self.templates.filters |= {
            "size": words.size, "duration": words.duration, "number": lambda count: f"{count:,}", "line": words.path,
            "when": _when, "code": _code, "iso": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
        }  # fmt: skip
        self.templates.globals |= {"version": __version__, "meaning": MEANING}

    def page(self, scene: Scene, **more: Any) -> str:
        """Return a scene as a whole page."""
        return self.templates.get_template(scene.template).render(
            title=scene.title, parts=scene.parts, **scene.facts, **more
        )

    def jobs(self) -> Scene:
        """Return the overview: unfinished jobs first, each kind newest first."""
        cards = self.reader.ask(self._cards)
        cards.sort(key=lambda card: (card["over"], -card["job"].created_at.timestamp()))
        parts = {"jobs": self.part("jobs", cards=cards)}
        busy = sum(1 for card in cards if card["alive"])
        return Scene("jobs.html", f"{busy} at work" if busy else "Jobs", parts, {})

    def job(self, job_id: str, *, hour: bool) -> Scene:
        """Return a job's own page; the chart shows the last `hour` or everything. Raises `UsageError` where there is none."""
        return self.reader.ask(lambda book: self._job(book, job_id, hour=hour))

    def part(self, name: str, **facts: Any) -> str:
        """Return one part as HTML."""
        return self.templates.get_template(f"parts/{name}.html").render(**facts).strip()

    def _follower(self, job_id: str) -> Follower:
        with self._lock:
            follower = self._followers.pop(job_id, None) or Follower(job_id)
            self._followers[job_id] = follower
            while len(self._followers) > FOLLOWED:
                self._followers.popitem(last=False)
            return follower

    def counts(self, book: Ledger, job: Job) -> Counts:
        """Count a job's files by state; anew only while a run works on it, or where its history has grown."""
        known = self._counted.get(job.id)
        if known is not None and known[0] == job.event_count and not self._is_at_work(book, job):
            return known[1]
        counts = book.files.counts(job.id)
        self._counted[job.id] = job.event_count, counts
        return counts

    @staticmethod
    def _is_at_work(book: Ledger, job: Job) -> bool:
        return job.state not in FINISHED and is_alive(book.runs.last(job.id))

    def _cards(self, book: Ledger) -> list[dict[str, Any]]:
        return [self._card(book, job) for job in book.jobs.all()]

    def _card(self, book: Ledger, job: Job) -> dict[str, Any]:
        run = book.runs.last(job.id)
        alive = self._is_at_work(book, job)
        counts = self.counts(book, job)
        card: dict[str, Any] = {
            "job": job,
            "counts": counts,
            "alive": alive,
            "over": job.state in FINISHED,
            "rate": 0.0,
        }
        if alive:
            follower = self._follower(job.id)
            with follower.lock:
                follower.catch_up(book, CATCH_UP_S)
                seen = Seen(
                    job,
                    counts,
                    run,
                    alive,
                    book.runs.outcome(job.id),
                    follower.scanned_by == (run and run.id),
                )
                card["rate"] = follower.rate(clock.now())
        else:
            seen = Seen(job, counts, run, alive, book.runs.outcome(job.id))
        return {
            **card,
            **_progress(seen, card["rate"]),
            "standing": standing(seen),
            "since": _since(standing(seen)),
        }

    def _job(self, book: Ledger, job_id: str, *, hour: bool) -> Scene:
        job, now = book.jobs.find(job_id), clock.now()
        run, numbers = book.runs.last(job_id), book.runs.numbers(job_id)
        alive = self._is_at_work(book, job)
        counts = self.counts(book, job)
        follower = self._follower(job_id)
        with follower.lock:
            follower.catch_up(book, CATCH_UP_S)
            seen = Seen(
                job, counts, run, alive, book.runs.outcome(job.id), follower.scanned_by == (run and run.id)
            )
            rate = follower.rate(now) if alive and job.state not in FINISHED else 0.0
            sending = alive and job.state in (JobState.TRANSACTION_OPEN, JobState.UPLOADED)
            picture = follower.picture(now, hour=hour, alive=sending)
            moments, long = follower.moments(numbers)[:MOMENTS], follower.longer_than_an_hour
            failed, complete = follower.failed_attempts, follower.complete
        stands = standing(seen)
        charts = {}
        if picture is not None:
            charts = {
                "huge": draw(picture, "huge", "chart-says", width=1160, height=230, labels=8),
                "wide": draw(picture, "wide", "chart-says", width=760, height=200),
                "narrow": draw(picture, "narrow", "chart-says", width=360, height=190, labels=3),
            }
        progress = _progress(seen, rate)
        parts = {
            "standing": self.part("standing", standing=stands, since=_since(stands)),
            "progress": self.part("progress", counts=counts, **progress),
            "figures": self.part(
                "figures", job=job, counts=counts, rate=rate, failed=failed, run=run, alive=alive,
                twice=book.files.possibly_twice(job_id), waiting=seen.waiting_for is not None, now=now, **progress,
            ),
            "chart": self.part(
                "chart", job=job, picture=picture, charts=charts, hour=hour, long=long, complete=complete,
                outages=len(picture.away) if picture else 0,
            ),
            "events": self.part("events", moments=moments, complete=complete, count=job.event_count),
            "states": self.part("states", job=job, counts=counts, states=[s for s in FileState if counts[s]]),
            "server": self.part("server", job=job, run=run, number=numbers.get(run.id) if run else None, alive=alive),
        }  # fmt: skip
        title = f"{int(progress['percent'])} % {words.path(job.name)}" if alive else words.path(job.name)
        return Scene("job.html", title, parts, {"job": job, "hour": hour, "over": job.state in FINISHED})


def _progress(seen: Seen, rate: float) -> dict[str, Any]:
    """Return share, bar, and the seconds that are left at this rate (None where that is not known)."""
    counts = seen.counts
    share = share_done(counts)
    left = max(0, wanted_bytes(counts) * (1 - share))
    # Never 100 before all is done: files without a byte count, too.
    done = share == 1.0 and not counts.unsent
    percent = 100.0 if done else min(99.9, 100 * share)
    return {
        "percent": percent,
        "segments": segments(counts),
        "left_s": left / rate if rate and left else None,
    }


def segments(counts: Counts) -> list[tuple[FileState, float, float]]:
    """Return each state's part of the bar: where it begins and how wide it is, of 1000; by bytes, or files without any."""
    order = [FileState.SENT, FileState.WAIVED, FileState.IN_FLIGHT, *FileState]
    weights = counts.bytes if counts.total_bytes else counts.files
    whole = sum(weights.values()) or 1
    shares = {
        state: max(LEAST_SEGMENT, weights.get(state, 0) / whole)
        for state in dict.fromkeys(order)
        if counts[state]
    }
    scale, begin, made = 1000 / (sum(shares.values()) or 1), 0.0, []
    for state, share in shares.items():
        made.append((state, begin, share * scale))
        begin += share * scale
    return made


def _since(stands: Standing) -> float | None:
    return None if stands.since is None else max(0.0, (clock.now() - stands.since).total_seconds())


def _code(text: str) -> Markup:
    """Return a text as HTML, in which what stands between backquotes is code."""
    return Markup(COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped before


def _when(at: datetime | str | None) -> str:
    if at is None:
        return "-"
    return at[:19].replace("T", " ") if isinstance(at, str) else f"{at:%Y-%m-%d %H:%M:%S}"
