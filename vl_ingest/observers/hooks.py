"""Commands of the user's own: one at the end of a run, one when there is trouble; with the facts in the environment."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from vl_ingest.domain.errors import LedgerError, UsageError, VlIngestError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileState, Job, Run
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.words import clause
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.observers.observer import Observer, Progress
from vl_ingest.server import variables

LONGEST_S = 300.0
SHOWN_BYTES = 65536
PREFIX = "VL_INGEST_HOOK_"
AGAIN = ("VL_INGEST_ON_FINISH", "VL_INGEST_ON_TROUBLE")  # a run that the command starts would call it again
LEFT_OUT = (*variables.SECRETS, *AGAIN)


class Hooks(Observer):
    """Calls `on_finish` when a run has ended, however, and `on_trouble` when it begins to wait, stalls, or holds a file.

    A command is split like a shell's line, and run without a shell, for at most five minutes. What it is told stands in
    its environment as `VL_INGEST_HOOK_...`; credentials do not. Its output goes to standard error when it has ended.
    Its failure is told to `warn`, and changes nothing. After a signal it has what is left of the ten seconds in which
    a run ends. The command of a trouble runs beside the upload, one at a time: what happens meanwhile is not told
    again.
    """

    def __init__(
        self, ledger: Ledger, on_finish: str | None, on_trouble: str | None, warn: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._on_finish = _words("--on-finish", on_finish)
        self._on_trouble = _words("--on-trouble", on_trouble)
        self._warn = warn
        self._job: Job | None = None
        self._run: Run | None = None
        self._waiting = self._held = False
        self._beside: threading.Thread | None = None

    def job_started(self, job: Job, run: Run) -> None:
        """Keep which job it is."""
        self._job, self._run = job, run

    def progress(self, progress: Progress) -> None:
        """Tell when the waiting begins."""
        if progress.waiting and not self._waiting:
            self._trouble("waiting", progress.waiting)
        self._waiting = progress.waiting is not None

    def file_error(self, path: str, state: FileState, reason: str) -> None:
        """Tell of the first file that can't be sent."""
        if not self._held:
            self._held = True
            self._trouble(str(state), f"{path_to_text(path)}: {reason}")

    def notice(self, kind: str, text: str, **facts: object) -> None:  # noqa: ARG002  # an observer's
        """Tell of a stall."""
        if facts.get("event") == EventKind.STALLED:
            self._trouble(EventKind.STALLED, text)

    def finished(self, summary: Summary) -> None:
        """Tell that all went well."""
        job = summary.job
        said = f"{files_text(summary.counts.total)}: {summary.in_words()}; dataset {job.dataset_id}, job {job.state}."
        self._finish(0, said, summary)

    def ended(self, error: VlIngestError) -> None:
        """Tell what went wrong, and where the job stands, unless it is the ledger that can't be used."""
        if self._job is None or error.exit_code == LedgerError.exit_code:
            self._finish(error.exit_code, str(error), None)
        else:
            self._finish(error.exit_code, str(error), summarise(self._ledger, self._job.id))

    def _finish(self, exit_code: int, message: str, summary: Summary | None) -> None:
        if self._beside is not None:
            self._beside.join()
        job = summary.job if summary is not None else self._job
        facts = {"EVENT": "finish", "EXIT_CODE": str(exit_code), "MESSAGE": message, **self._known(job)}
        if summary is not None:
            facts |= {f"FILES_{state.upper()}": str(summary.counts[state]) for state in FileState}
            facts |= {
                "STATE": str(summary.job.state),
                "SENT_BYTES": str(summary.counts.bytes.get(FileState.SENT, 0)),
                "FILES_ACKNOWLEDGED": str(summary.acknowledged),
                "FILES_TAKEN_AS_DELIVERED": str(summary.taken_as_delivered),
                "FILES_POSSIBLY_TWICE": str(summary.possibly_twice),
            }
        self._call("--on-finish", self._on_finish, facts)

    def _trouble(self, kind: str, message: str) -> None:
        if not self._on_trouble or (self._beside is not None and self._beside.is_alive()):
            return
        # Asked again, for its dataset is there by now.
        job = None if self._job is None else self._ledger.jobs.get(self._job.id)
        facts = {"EVENT": kind, "MESSAGE": message, **self._known(job)}
        self._beside = threading.Thread(
            target=self._call, args=("--on-trouble", self._on_trouble, facts), name="hook", daemon=True
        )
        self._beside.start()

    def _known(self, job: Job | None) -> dict[str, str]:
        if job is None:
            return {}
        return {
            "JOB": job.id, "NAME": job.name, "SOURCE": path_to_text(job.source), "BASE_URL": job.base_url,
            "DATASET_ID": job.dataset_id or "", "RUN": "" if self._run is None else str(self._run.id),
        }  # fmt: skip

    def _call(self, option: str, command: list[str], facts: Mapping[str, str]) -> None:
        if not command:
            return
        environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
        environment |= {PREFIX + key: value.replace("\0", "") for key, value in facts.items()}
        try:
            with _shown() as output:
                subprocess.run(  # noqa: S603  # the user's own command, split and without a shell
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    check=True, timeout=LONGEST_S,
                )  # fmt: skip
        except subprocess.CalledProcessError as exc:
            self._warn(f"The {option} command ended with {exc.returncode}. The upload is not affected.")
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            self._warn(f"The {option} command failed: {clause(exc)}. The upload is not affected.")


@contextmanager
def _shown() -> Iterator[IO[bytes]]:
    """Give a file whose content goes to standard error: whole lines, which a live display can make room for.

    No pipe: what a command leaves running may hold that for ever.
    """
    with tempfile.TemporaryFile() as output:
        try:
            yield output
        finally:
            output.seek(0)
            sys.stderr.write(output.read(SHOWN_BYTES).decode(errors="replace"))


def _words(option: str, command: str | None) -> list[str]:
    try:
        words = shlex.split(command or "", posix=os.name == "posix")
    except ValueError as exc:
        raise UsageError(f"{option}: {exc} in {command!r}.") from exc
    if command is not None and not words:
        raise UsageError(f"{option} is empty.")
    if words and shutil.which(words[0]) is None:
        raise UsageError(f"{option}: there is no command {words[0]!r}. Give its full path.")
    return words
