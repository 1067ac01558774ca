"""Asking before what can't be undone."""

import sys

import click

from vl_ingest.cli.options import option
from vl_ingest.domain.errors import UsageError

yes_option = option("--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, yes: bool, *, needed: bool = False) -> None:
    """Ask on a terminal, and abort the command unless the answer is yes.

    Without a terminal nobody can be asked: a decision that `needed` a yes is then a `UsageError`.
    """
    if yes:
        return
    if sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)
    elif needed:
        raise UsageError(f"{question} There is no terminal to ask on: add --yes.")
