"""`auth`: which credentials there are, whether they work, and keeping them in the system keyring."""

import sys
from typing import Any

import click

from vl_ingest.cli.layout import Group
from vl_ingest.cli.options import ledger_options, server_options, show, warn
from vl_ingest.domain.errors import UsageError


@click.group(cls=Group)
def auth() -> None:
    """Check credentials, and store them in the system keyring.

    Example:  vl-ingest auth check
    """


@auth.command()
@server_options
@ledger_options
def check(base_url: str, access: dict[str, Any], as_json: bool, ledger: str | None) -> int:  # noqa: ARG001  # every command takes it
    """Show where the credentials come from, and whether the server accepts them.

    Sends one request that changes nothing. Exit code 0: accepted; 7: refused; 5: no answer.

    Example:  vl-ingest auth check --base-url https://vl.example.org
    """
    from vl_ingest.doctor.server import check_credentials
    from vl_ingest.server.api import Api
    from vl_ingest.server.credentials import find

    found = find(base_url, warn=warn, **access)
    result = check_credentials(Api(base_url, found.tokens), found.origin, None)
    facts = {"type": "check", "origin": found.origin, "grade": result.grade, "text": result.text}
    show(
        {**facts, "exit_code": result.exit_code},
        f"Credentials: {found.origin}.\n{result.text}",
        as_json=as_json,
    )
    return result.exit_code


@auth.command()
@ledger_options
def login(as_json: bool, ledger: str | None) -> None:  # noqa: ARG001  # every command takes them
    """Ask for an API key and its secret, and store them in the system keyring.

    Without a terminal, reads them as two lines from standard input. Requires `pip install 'vl-ingest[keyring]'`.

    Example:  vl-ingest auth login
    """
    from vl_ingest.server.credentials import assert_keyring, store

    assert_keyring()  # before anybody types a secret
    asked = sys.stdin.isatty()
    try:
        key = click.prompt("API key", type=str, err=True)
        secret = click.prompt("API secret", type=str, hide_input=asked, err=True)
    except click.Abort as exc:
        if asked:
            raise
        raise UsageError("Nothing was stored: expected two lines, the API key and its secret.") from exc
    store(key.strip(), secret.strip())
    click.echo("Stored both in the system keyring. Run `vl-ingest auth check` to try them.", err=True)


@auth.command()
@ledger_options
def logout(as_json: bool, ledger: str | None) -> None:  # noqa: ARG001  # every command takes them
    """Remove the API key and its secret from the system keyring.

    Example:  vl-ingest auth logout
    """
    from vl_ingest.server.credentials import forget

    click.echo(
        "Removed the credentials from the keyring." if forget() else "The keyring held no credentials.",
        err=True,
    )
