"""`doctor`: what would trouble a run, before there is one."""

import json
from collections.abc import Iterator
from typing import Any

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import NAME, ledger_options, option, server_options, show, warn
from vl_ingest.domain.checks import Check, Grade

SHOWN = {Grade.FAILED: "FAILED", Grade.UNANSWERED: "-"}


@click.command(cls=Command)
@option("--offline", is_flag=True, help="Skip the network and the server.")
@option("--log-file", metavar="PATH", help="The log file that a run would write.")
@option("--name", type=NAME, help="The name that a dataset is to have: warn if the server has one.")
@server_options
@ledger_options
def doctor(
    offline: bool, log_file: str | None, name: str | None, base_url: str, access: dict[str, Any], ledger: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Check whether everything is in place for a run.

    Changes nothing: the server gets a few requests that have no effect. Exit code 0: no check failed (there may be warnings); otherwise
    that of the first failure: 2 options, 4 ledger, 5 network, 7 refused.

    Example:  vl-ingest doctor --base-url https://vl.example.org
    """
    from vl_ingest.doctor import check_machine, check_server
    from vl_ingest.ledger.database import default_path
    from vl_ingest.server.credentials import find

    place = ledger or default_path()

    def checks() -> Iterator[Check]:
        yield from check_machine(place, log_file)
        if not offline:
            dataset_id = _known_dataset(str(place), base_url)
            yield from check_server(base_url, lambda: find(base_url, warn=warn, **access), dataset_id, name)

    found: list[Check] = []
    for check in checks():
        found.append(check)
        facts = {"type": "check", "name": check.name, "grade": check.grade, "text": check.text, **check.facts}
        show(facts, f"{SHOWN.get(check.grade, check.grade):<9}{check.name:<15}{check.text}", as_json=as_json)
    code = next((check.exit_code for check in found if check.exit_code), 0)
    if as_json:
        click.echo(json.dumps({"type": "summary", "exit_code": code}))
    return code


def _known_dataset(place: str, base_url: str) -> str | None:
    """Return the newest dataset that the ledger knows at this server, if the ledger can be read."""
    from vl_ingest.domain.errors import LedgerError
    from vl_ingest.ledger import Ledger

    try:
        with Ledger(place, readonly=True) as book:
            jobs = [job for job in book.jobs.all() if job.base_url == base_url and job.dataset_id]
    except LedgerError:
        return None  # which a check has said already
    return jobs[-1].dataset_id if jobs else None
