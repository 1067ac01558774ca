"""`serve`: the live page, in the foreground."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import ledger_options, option, warn
from vl_ingest.domain.errors import UsageError
from vl_ingest.serve import NEEDS

if TYPE_CHECKING:
    from vl_ingest.serve.server import LivePage


@click.command(cls=Command)
@option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="0: any free one.")
@option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; '0.0.0.0': for other machines, with a token.",
)
@ledger_options
def serve(port: int, host: str, ledger: str | None, as_json: bool) -> None:
    """Show all jobs on a live page in the browser.

    Read-only, until interrupted; runs continue elsewhere undisturbed. On a host that other machines can reach, only
    people with the printed address can see it. The connection is not encrypted: use `ssh -L` on networks you do not trust.

    Example:  vl-ingest serve
    """
    from vl_ingest.ledger import is_missing
    from vl_ingest.ledger.database import default_path

    place = ledger or default_path()
    if is_missing(place):
        warn(f"There is no ledger at {place} yet. The page shows its jobs once a run has made it.")

    def listening(url: str) -> None:
        if as_json:
            click.echo(json.dumps({"url": url}))
        else:
            click.echo(f"The live page is at {url}\nCtrl-C ends it.")

    try:
        _live_page(place, host=host, port=port).serve_forever(listening)
    except OSError as exc:
        raise UsageError(
            f"Can't listen on {host}, port {port}: {exc.strerror}. `--port 0` takes a free one."
        ) from exc


@contextmanager
def watched(ledger: str | os.PathLike[str]) -> Iterator[None]:
    """Serve the live page of a ledger during the block, in a browser where there is one, and on a terminal until Ctrl-C."""
    with _live_page(ledger) as page:
        click.echo(f"* The live page is at {page.url}\n")
        if _has_desktop():
            import webbrowser

            webbrowser.open(page.url)
        yield
        if sys.stdin.isatty():
            click.echo("\n* The live page stays until Ctrl-C.")
            threading.Event().wait()


def _has_desktop() -> bool:
    """Return whether a browser would open in a window; in a terminal it would be in the way."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _live_page(ledger: str | os.PathLike[str], **listen: Any) -> "LivePage":
    try:
        from vl_ingest.serve.server import LivePage
    except ImportError as exc:
        raise UsageError(f"{NEEDS} ({exc})") from exc
    return LivePage(ledger, **listen)
