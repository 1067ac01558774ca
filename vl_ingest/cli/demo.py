"""`demo`: the whole story on real files, against the sandbox, with a real process that is really killed."""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import general_options, option
from vl_ingest.cli.sandbox import NEEDS
from vl_ingest.cli.serve import watched
from vl_ingest.domain.errors import UsageError, VlIngestError

if TYPE_CHECKING:
    from vl_ingest.sandbox import Sandbox

PICTURES = 300
BROKEN = "torn/half-copied.jpg"
ANSWER_S = 0.15  # how long the demo's server takes for a batch, so that there is a middle to be killed in
OUTAGE_S = 3.0
PATIENCE_S = 60.0


class DemoFailed(VlIngestError):
    """Something in the demo did not go as promised."""


@click.command(cls=Command)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
@option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep the pictures, ledger and report in this new folder.",
)
@option("--watch", is_flag=True, help="Open the live page, and keep it after the end until Ctrl-C.")
@general_options
def demo(folder: str | None, keep: Path | None, watch: bool) -> None:
    """Watch an upload survive a kill, an outage and a broken file.

    All other files still arrive, and processing starts once. Uses the pictures in FOLDER, or renders a few hundred.
    Everything happens on this machine, in a temporary folder; --keep DIR keeps it.

    Example:  vl-ingest demo
    """
    try:
        from vl_ingest.sandbox import Sandbox
        from vl_ingest.sandbox.pictures import render_pictures
    except ImportError as exc:
        raise UsageError(f"{NEEDS} ({exc})") from exc
    with _place(keep) as place:
        source = Path(folder) if folder else Path(place, "pictures")
        if not folder:
            count = render_pictures(source, PICTURES)
            broken = source / BROKEN
            broken.parent.mkdir()
            broken.write_bytes(next(source.rglob("*.jpg")).read_bytes()[:64])
            click.echo(
                f"* Made {count} pictures and one broken file in {'a temporary folder' if keep is None else keep}."
            )
        with Sandbox(
            root=Path(place, "server"),
            faults=[f"upload:slow:seconds={ANSWER_S}"],
            indexing_s=1.0,
            replaces=True,
        ) as box:
            click.echo(
                f"* A local stand-in for Visual Layer is listening at {box.url}. A second file of a name replaces the first there.\n"
            )
            ledger = Path(place, "ledger.db")
            with watched(ledger) if watch else nullcontext():
                _story(box, source, ledger)
        if keep is not None:
            _must(["report", "demo", "--output", str(keep / "report.csv")], 0, ledger)
            click.echo(
                f"* {keep} holds the pictures, ledger.db and report.csv: `vl-ingest status demo --ledger {keep / 'ledger.db'}`."
            )


@contextmanager
def _place(keep: Path | None) -> Iterator[str]:
    """Give the folder that the demo plays in: a temporary one, or a new one that stays."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="vl-ingest-demo-") as place:
            yield place
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError as exc:
        raise UsageError(f"{keep} exists already. Name a new folder.") from exc
    except OSError as exc:
        raise UsageError(f"Can't create the folder {keep}: {exc.strerror}.") from exc
    yield str(keep)


def _story(box: "Sandbox", source: Path, ledger: Path) -> None:
    run = ["run", str(source), "--name", "demo", "--base-url", box.url]
    run += ["--batch-size", "10", "--workers", "2", "--settle", "2s", "--no-auth"]

    click.echo("* 1. The upload starts, and its process is killed (SIGKILL) halfway.")
    first = _start(run, ledger)
    arrived = _until(lambda: len(box.record.files()), first)
    first.kill()
    first.wait()
    click.echo(f"* Killed; {arrived} files had arrived.\n")

    click.echo("* 2. The same command again. This time the server goes down for a while.")
    second = _start(run, ledger)
    _until(lambda: len(box.record.files()) - arrived, second)
    with box.offline():
        time.sleep(OUTAGE_S)
    code = second.wait(PATIENCE_S)
    if code == 13:  # the broken file was in flight at a bad moment, so that nobody can say what a 400 means
        _must(["settle", "demo", "--not-delivered"], 0, ledger)
        code = _start(run, ledger).wait(PATIENCE_S)
    if code == 3:
        click.echo(
            "* Exit code 3: everything but the broken file was delivered, and processing has not started.\n"
        )
        click.echo("* 3. You decide to leave it out, and resume.")
        _must(["waive", "demo", "--all"], 0, ledger)
        _must(["resume", "demo", "--settle", "2s", "--no-auth"], 0, ledger)
    elif code != 0:
        raise DemoFailed(f"The second run ended with exit code {code}.")
    click.echo("\n* 4. The server is asked whether it has each file.")
    _must(["verify", "demo", "--no-auth"], 0, ledger)
    _prove(box, ledger)


def _prove(box: "Sandbox", ledger: Path) -> None:
    """Compare what the server holds with what the ledger says; raises `DemoFailed` where they differ."""
    from vl_ingest.domain.model import FileState
    from vl_ingest.ledger import Ledger

    with Ledger(ledger, create=False) as book:
        job = book.jobs.find("demo")
        sent = list(book.files.rows(job.id, FileState.SENT))
        waived = book.files.counts(job.id)[FileState.WAIVED]
    promised = {(file.sent_as, file.facts.size_bytes, file.sha256) for file in sent}
    held = Counter((a.name, a.size_bytes, a.sha256) for a in box.record.files(job.dataset_id))
    twice = {key for key, count in held.items() if count > 1}
    doubted = {(file.sent_as, file.facts.size_bytes, file.sha256) for file in sent if file.unknown_attempts}
    triggers = box.record.triggers_accepted(job.dataset_id)
    click.echo("\n* The proof: what the server holds, compared with the ledger.")
    click.echo(f"    files sent, by the ledger              {len(sent):>6}   (waived: {waived})")
    click.echo(f"    distinct files on the server           {len(held):>6}")
    click.echo(f"    of these, same name, size, SHA-256     {len(promised & set(held)):>6}")
    click.echo(
        f"    delivered twice (when it was cut off)  {len(twice):>6}   (the ledger suspects {len(doubted)})"
    )
    listed = sum(file.listed == 1 for file in sent)
    click.echo(f"    listed in the dataset, each once       {listed:>6}   (the server's own list)")
    click.echo(f"    processing started                     {triggers:>6}   time")
    if promised != set(held) or not twice <= doubted or listed != len(sent) or triggers != 1:
        raise DemoFailed("The server and the ledger disagree.")
    click.echo("* The server lists every file, each once, and processing was started exactly once.")


def _start(arguments: list[str], ledger: Path) -> "subprocess.Popen[bytes]":
    """Start the real command in a second process."""
    shown = " ".join(arguments[:4]).replace(tempfile.gettempdir(), "...")
    click.echo(f"$ vl-ingest {shown} ...")
    sys.stdout.flush()
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "vl_ingest", *arguments], env=_environment(ledger), stderr=subprocess.STDOUT
    )


def _must(arguments: list[str], code: int, ledger: Path) -> None:
    ended = _start(arguments, ledger).wait(PATIENCE_S)
    if ended != code:
        raise DemoFailed(f"`vl-ingest {arguments[0]}` ended with exit code {ended}, not {code}.")


def _until(progress: Callable[[], int], process: "subprocess.Popen[bytes]") -> int:
    """Wait until a good part has arrived, or the process has ended; return how many files."""
    deadline = time.monotonic() + PATIENCE_S
    while (count := progress()) < PICTURES // 3 and process.poll() is None:
        if time.monotonic() > deadline:
            raise DemoFailed("The upload makes no progress.")
        time.sleep(0.02)
    return count


def _environment(ledger: Path) -> dict[str, str]:
    """Return the environment without settings of the user's own, but with the ledger of the demo."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("VL_INGEST_", "VISUAL_LAYER_"))}
    return {**plain, "VL_INGEST_CONFIG": os.devnull, "VL_INGEST_LEDGER": str(ledger)}
