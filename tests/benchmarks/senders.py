"""Who sends: vl-ingest, what one would write instead, and the limit of the machine; each as a command."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent

# From a server's URL and a folder to the command that sends the folder there.
Sender = Callable[[str, Path], list[str]]

BASELINE, LIMIT, OURS = "baseline script", "limit: sendfile and SHA-256, 2 threads", "vl-ingest"


def ours(*options: str) -> Sender:
    """Return vl-ingest, with a new ledger at each call."""

    def command(url: str, folder: Path) -> list[str]:
        ledger = Path(tempfile.mkdtemp(dir=folder.parent)) / "ledger.db"
        return [
            sys.executable, "-m", "vl_ingest", "run", str(folder), "--name", "benchmark",
            "--base-url", url, "--ledger", str(ledger), *options,
        ]  # fmt: skip

    return command


def script(name: str, *arguments: str) -> Sender:
    """Return a script of this folder."""
    return lambda url, folder: [sys.executable, str(HERE / name), url, str(folder), *arguments]


def named(name: str) -> Sender | None:
    """Return the sender with this name, as the tables show it; None if it can't run here."""
    if name == BASELINE:
        return script("baseline.py")
    if name == LIMIT:
        return script("limit.py", "2") if sys.platform.startswith("linux") else None
    if name.startswith("curl"):
        return script("curl.py", name.rpartition(" ")[2]) if shutil.which("curl") else None
    return ours(*name.split()[1:])
