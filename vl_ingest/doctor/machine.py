"""What a run needs of this machine: the program, the ledger, room on its disk, the log, open files."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, failed, ok, warning
from vl_ingest.domain.errors import LedgerError, UsageError
from vl_ingest.domain.forms import MOST_WORKERS
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import HEAD, OlderSchema, to_url
from vl_ingest.version import __version__

LITTLE_BYTES, TOO_LITTLE_BYTES = 1024**3, 50 * 1024**2
FILES_WANTED = 4 * MOST_WORKERS  # a connection and a file each, the ledger, and some to spare
PACKAGES = ("sqlalchemy", "requests", "urllib3", "click", "tenacity")


def check_machine(place: str | os.PathLike[str], log_file: str | None) -> Iterator[Check]:
    """Yield the checks that need no network. `place` is the ledger's path or URL."""
    yield _program()
    yield _ledger(place)
    url = to_url(place)
    if url.get_backend_name() == "sqlite" and url.database:
        folder = _existing(Path(url.database).parent)
        yield _writable("ledger folder", folder, LedgerError)
        yield _space(folder)
    if log_file is not None:
        yield _log(Path(os.path.abspath(log_file)))
    yield _open_files()


def _program() -> Check:
    versions = {name: metadata.version(name) for name in PACKAGES}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    python = platform.python_version()
    text, system = f"vl-ingest {__version__}, Python {python}, {listed}.", platform.platform()
    return ok("program", text, version=__version__, python=python, packages=versions, platform=system)


def _ledger(place: str | os.PathLike[str]) -> Check:
    """Open the ledger to read only, and let the database look for damage."""
    url = to_url(place)
    if url.get_backend_name() == "sqlite" and url.database and not os.path.exists(url.database):
        return ok("ledger", f"No ledger yet; the first run creates {url.database}.", path=url.database)
    try:
        with Ledger(place, readonly=True) as ledger:
            damage = ledger.db.damage()
            jobs = len(ledger.jobs.all())
            where, sync = str(ledger.db), ledger.db.synchronous()
    except OlderSchema as exc:
        return warning("ledger", str(exc))
    except LedgerError as exc:
        return failed("ledger", exc)
    if damage:
        what = f"{where} is damaged: {'; '.join(damage)}."
        return failed(
            "ledger", LedgerError(f"{what} Restore it from a copy, or name another ledger with --ledger.")
        )
    text = f"{where}: {words.several(jobs, 'job')}, schema {HEAD}, undamaged, synchronous {sync}."
    return ok("ledger", text, path=where, jobs=jobs, schema=HEAD, synchronous=sync)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists: a run makes those between."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def _writable(name: str, folder: Path, error: type[LedgerError] | type[UsageError]) -> Check:
    # Asked, not tried: a doctor leaves nothing behind, not even for a moment.
    if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
        return ok(name, f"{folder} can be written to.", path=str(folder))
    text = f"{folder} can't be written to. Make it writable, or name another place."
    return failed(name, error(text), path=str(folder))


def _space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{words.size(free)} free on the disk of {folder}"
    if free < TOO_LITTLE_BYTES:
        error = LedgerError(f"Only {text}: free some space, or name another place with --ledger.")
        return failed("disk space", error, free=free)
    if free < LITTLE_BYTES:
        return warning("disk space", f"Only {text}. A million files need about 500 MiB.", free=free)
    return ok("disk space", f"{text}.", free=free)


def _log(path: Path) -> Check:
    """Return whether the log can be written: as a file that is there, or as one in its folder."""
    if not os.path.isdir(path.parent):
        wrong = f"The folder of {path} does not exist. Create it; a run does not."
    elif os.path.exists(path) and not os.access(path, os.W_OK):
        wrong = f"{path} can't be written to. Make it writable, or name another file."
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        wrong = f"{path.parent} can't be written to, and the log starts new files there."
    else:
        return ok("log", f"{path} can be written.", path=str(path))
    return failed("log", UsageError(wrong), path=str(path))


def _open_files() -> Check:
    if sys.platform == "win32":
        return ok("open files", "This system sets no limit.")
    import resource

    limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return ok("open files", "No limit.")
    if limit < FILES_WANTED:
        text = (
            f"A process may open only {limit} files. Run `ulimit -n {FILES_WANTED}` to allow for every worker"
        )
        return warning("open files", f"{text}; or use fewer: `--workers 8`.", limit=limit)
    return ok("open files", f"A process may open {limit:,} files.", limit=limit)
