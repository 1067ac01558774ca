"""What becomes of a mistake of this program: a line for the user, and a file for whoever fixes it."""

import os
import platform
import traceback

import click
from platformdirs import user_log_path

from vl_ingest import clock
from vl_ingest.domain.errors import VlIngestError
from vl_ingest.server.redact import redact
from vl_ingest.version import __version__


class Crashed(VlIngestError):
    """Nobody has foreseen what happened. Making this writes the details into a file; its text names that.

    The file holds versions and the traceback: neither arguments nor values of variables, and no credentials. With
    `loud`, or where it can't be written, the traceback goes to standard error.
    """

    def __init__(self, exc: Exception, *, loud: bool) -> None:
        text = redact("".join(traceback.format_exception(exc)))
        where = _write(text)
        if loud or where is None:
            click.echo(text, err=True)
        line = redact(" ".join(f"{type(exc).__name__}: {exc}".split()))
        report = "Please report it." if where is None else f"Please report it, with {where}."
        again = "The ledger is intact. Run the same command again to continue."
        super().__init__(f"A bug in vl-ingest: {line}. {report} {again}")


def _write(text: str) -> str | None:
    """Write the file, readable for its owner only; return its path, None if that fails too."""
    moment = clock.now()
    folder = user_log_path("vl-ingest", appauthor=False)
    path = folder / f"crash-{moment:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    system = f"Python {platform.python_version()}, {platform.platform()}"
    head = f"vl-ingest {__version__}, {system}, {moment:%Y-%m-%d %H:%M:%S} UTC"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with open(own, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{head}\n\n{text}")
    except OSError:
        return None
    return str(path)
