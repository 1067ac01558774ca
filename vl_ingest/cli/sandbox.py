"""`sandbox`: the stand-in server, in the foreground."""

import json
import os
from pathlib import Path

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import DURATION, SIZE, general_options, option
from vl_ingest.domain.errors import UsageError
from vl_ingest.server import variables

NEEDS = "The sandbox needs more packages: pip install 'vl-ingest[sandbox]'."


@click.command(cls=Command)
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
    help="Misbehave; may be repeated. Examples: upload:503:every=5, processing:failed:times=1",
)
@option("--max-request", "max_request_bytes", rare=True, type=SIZE, help="Refuse larger requests (413).")
@option(
    "--draft",
    "draft_s",
    rare=True,
    type=DURATION,
    default="0s",
    show_default=True,
    help="How long the status stays as it was after work was accepted: DRAFT after the trigger.",
)
@option(
    "--indexing",
    "indexing_s",
    rare=True,
    type=DURATION,
    default="2s",
    show_default=True,
    help="How long processing takes.",
)
@option(
    "--adding",
    "adding_s",
    rare=True,
    type=DURATION,
    default="2s",
    show_default=True,
    help="How long an addition takes.",
)
@option(
    "--reindexing",
    "reindexing_s",
    rare=True,
    type=DURATION,
    default="2s",
    show_default=True,
    help="How long a reindex takes.",
)
@option(
    "--exporting",
    "exporting_s",
    rare=True,
    type=DURATION,
    default="1s",
    show_default=True,
    help="How long an export takes.",
)
@option(
    "--without",
    rare=True,
    multiple=True,
    metavar="FEATURE,...",
    help="Answer 404 for what is optional: list, health, creation-status, tasks, export-ids, export, add, reindex, "
    "delete, metadata, all.",
)
@option(
    "--tasks",
    rare=True,
    default="trigger",
    show_default=True,
    metavar="trigger|create|waiting|never",
    help="When a dataset's creation is among the tasks: from the trigger, from the creation, always as INITIALIZING, "
    "or never.",
)
@option(
    "--tasks-lag",
    "tasks_lag_s",
    rare=True,
    type=DURATION,
    default="0s",
    show_default=True,
    help="How old the list of tasks is.",
)
@option(
    "--object-store", rare=True, is_flag=True, help="Exports are fetched from another port, without a token."
)
@option("--old-statuses", rare=True, is_flag=True, help="Send only the old field `status`.")
@option("--processing-error", rare=True, metavar="TEXT", help="Let processing fail with this message.")
@option("--keep-files", is_flag=True, help="Keep what arrives, below --root.")
@option("--json", "as_json", is_flag=True, help="Say where the server listens as JSON.")
@general_options
def sandbox(
    port: int, root: Path | None, faults: tuple[str, ...], max_request_bytes: int | None, draft_s: float,
    indexing_s: float, adding_s: float, reindexing_s: float, exporting_s: float, without: tuple[str, ...],
    tasks: str, tasks_lag_s: float, object_store: bool, old_statuses: bool, processing_error: str | None,
    keep_files: bool, as_json: bool,
) -> None:  # fmt: skip
    """Serve a stand-in for Visual Layer.

    On 127.0.0.1, until interrupted, with faults if you like.

    With VISUAL_LAYER_API_KEY and VISUAL_LAYER_API_SECRET set it demands tokens made with them, as the cloud
    does; without, it wants none. What arrived can be read at /sandbox/record and /sandbox/files, what a dataset
    holds at /sandbox/media?dataset_id=ID.

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
            old_statuses=old_statuses, processing_error=processing_error, keep_files=keep_files, adding_s=adding_s,
            reindexing_s=reindexing_s, exporting_s=exporting_s, without=without, tasks=tasks,
            tasks_lag_s=tasks_lag_s, object_store=object_store,
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
