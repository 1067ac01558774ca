"""`auth`: the credentials in the system's keyring."""

import sys

import click

from vl_ingest.cli.options import ledger_options


@click.group()
def auth() -> None:
    """Keep credentials in the system's keyring."""


@auth.command()
@ledger_options
def login(as_json: bool, ledger: str | None) -> None:  # noqa: ARG001  # every command takes them
    """Ask for an API key and its secret, and keep them in the system's keyring.

    They come from standard input: as two lines where that is no terminal. Wants `pip install 'vl-ingest[keyring]'`.

    Example:  vl-ingest auth login
    """
    from vl_ingest.credentials import store

    key = click.prompt("API key", type=str, err=True)
    secret = click.prompt("API secret", type=str, hide_input=sys.stdin.isatty(), err=True)
    store(key.strip(), secret.strip())
    click.echo("Both are in the system's keyring. `vl-ingest auth check` tries them.", err=True)


@auth.command()
@ledger_options
def logout(as_json: bool, ledger: str | None) -> None:  # noqa: ARG001  # every command takes them
    """Take the API key and its secret out of the system's keyring.

    Example:  vl-ingest auth logout
    """
    from vl_ingest.credentials import forget

    click.echo("They are out of the keyring." if forget() else "There were none in the keyring.", err=True)
