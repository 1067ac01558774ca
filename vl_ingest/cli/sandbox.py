"""`sandbox`: the stand-in server, in the foreground."""

import json
import os
from pathlib import Path

import click

from vl_ingest.cli.options import DURATION, SIZE, general_options, option
from vl_ingest.domain.errors import UsageError
from vl_ingest.server import variables

NEEDS = "The sandbox needs more packages: pip install 'vl-ingest[sandbox]'."


@click.command()
@option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free one.")
@option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the record is kept. [default: a temporary folder]",
)
@option(
    "--fault",
    "faults",
    multiple=True,
    metavar="ENDPOINT:KIND[:KEY=VALUE]...",
    help="Misbehave; may be repeated. Example: upload:503:every=5",
)
@option("--max-request", "max_request_bytes", type=SIZE, help="Refuse larger requests (413).")
@option(
    "--draft",
    "draft_s",
    type=DURATION,
    default="0s",
    show_default=True,
    help="How long the status stays DRAFT after the trigger.",
)
@option(
    "--indexing",
    "indexing_s",
    type=DURATION,
    default="2s",
    show_default=True,
    help="How long processing takes.",
)
@option("--old-statuses", is_flag=True, help="Send only the old field `status`.")
@option("--processing-error", metavar="TEXT", help="Let processing fail with this message.")
@option("--keep-files", is_flag=True, help="Keep what arrives, below --root.")
@option("--json", "as_json", is_flag=True, help="Say where the server listens as JSON.")
@general_options
def sandbox(
    port: int, root: Path | None, faults: tuple[str, ...], max_request_bytes: int | None, draft_s: float,
    indexing_s: float, old_statuses: bool, processing_error: str | None, keep_files: bool, as_json: bool,
) -> None:  # fmt: skip
    """Serve a stand-in for Visual Layer.

    On 127.0.0.1, until interrupted, with faults if you like.

    With VISUAL_LAYER_API_KEY and VISUAL_LAYER_API_SECRET set it demands tokens made with them, as the cloud
    does; without, it wants none. What arrived can be read at /sandbox/record and /sandbox/files.

    Example:  vl-ingest sandbox --port 8765 --fault upload:503:every=5
    """
    try:
        from vl_ingest.sandbox import Sandbox
    except ImportError as exc:
        raise UsageError(f"{NEEDS} ({exc})") from exc
    key, secret = os.environ.get(variables.KEY), os.environ.get(variables.SECRET)
    try:
        server = Sandbox(
            root=root, faults=list(faults), port=port, credentials=(key, secret) if key and secret else None,
            max_request_bytes=max_request_bytes, draft_s=draft_s, indexing_s=indexing_s,
            old_statuses=old_statuses, processing_error=processing_error, keep_files=keep_files,
        )  # fmt: skip
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    except OSError as exc:
        raise UsageError(
            f"Can't keep a record in {root}: {exc.strerror}. Name a folder with `--root`."
        ) from exc

    def listening(url: str) -> None:
        if as_json:
            click.echo(json.dumps({"url": url}))
        else:
            click.echo(f"The sandbox listens at {url}. Ctrl-C stops it. Try, in another terminal:")
            click.echo(f"  vl-ingest run FOLDER --name NAME --base-url {url}")

    try:
        server.serve_forever(listening)
    except OSError as exc:
        raise UsageError(
            f"Can't listen on port {port}: {exc.strerror}. `--port 0` takes a free one."
        ) from exc
