"""`reprocess`: a dataset that failed is processed again on the server."""

from typing import Any

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import (
    SETTINGS,
    given,
    job_argument,
    ledger_options,
    open_ledger,
    open_tokens,
    server_options,
    settings_from,
    telling_options,
    together,
)
from vl_ingest.domain.settings import Settings

FIELDS = ("settle_s", "give_up_after_s", "max_duration_s", "wait", "confirm")


@click.command(cls=Command)
@job_argument
@together("values", **{field: SETTINGS[field] for field in FIELDS})
@telling_options
@server_options
@ledger_options
def reprocess(
    job_reference: str, values: dict[str, Any], telling: dict[str, Any], base_url: str, access: dict[str, Any],
    ledger: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Let the server try again to process a dataset that failed.

    What was uploaded is kept there: nothing is sent again. Then watches until the dataset is ready. After any
    interruption, run the same command again.

    Example:  vl-ingest reprocess holidays
    """
    from vl_ingest.cli.run import exit_code, observers_of, signals
    from vl_ingest.ingest import Ingest

    with open_ledger(ledger) as book:
        known = book.jobs.find(job_reference)
        settings = settings_from(values, Settings.of_job(known.settings))
        where = base_url if given("base_url") else known.base_url
        tokens = open_tokens(where, access)
        with observers_of(book, as_json, **telling) as observers:
            ingest = Ingest(book, base_url=where, tokens=tokens, observers=observers)
            with signals(ingest, observers):
                return exit_code(lambda: ingest.reprocess(known, settings))
