"""`completion`: what a shell needs to complete commands, options, and the names of jobs."""

from typing import TYPE_CHECKING

import click

from vl_ingest.cli.commands import COMPLETION, PROGRAM, importing
from vl_ingest.cli.layout import Command
from vl_ingest.domain.errors import VlIngestError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the shell completion script.

    In zsh, put it after `compinit`.

    \b
    bash:  echo 'eval "$(vl-ingest completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(vl-ingest completion zsh)"' >> ~/.zshrc
    fish:  vl-ingest completion fish > ~/.config/fish/completions/vl-ingest.fish

    Example:  vl-ingest completion bash
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click knows all three
    click.echo(kind(context.find_root().command, {}, PROGRAM, COMPLETION).source())


def jobs(context: click.Context, _parameter: click.Parameter, begun: str) -> "list[CompletionItem]":
    """Return the jobs of the ledger whose name or id begins so."""
    from click.shell_completion import CompletionItem

    with importing():
        from vl_ingest.ledger import Ledger
        from vl_ingest.ledger.database import default_path

    try:
        with Ledger(context.params.get("ledger") or default_path(), readonly=True) as book:
            known = book.jobs.all()
    except VlIngestError:
        return []  # no ledger yet, or none that can be read: nothing to complete
    names = {word: job for job in known for word in (job.name, job.id)}
    return [
        CompletionItem(word, help=str(job.state)) for word, job in names.items() if word.startswith(begun)
    ]
