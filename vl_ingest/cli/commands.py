"""The commands by name, each imported when it is asked for: a list of them needs none."""

import gc
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "vl-ingest"
COMPLETION = "_VL_INGEST_COMPLETE"  # the variable by which a shell asks for completions

# Name -> its module here, and the first sentence of its help. A test holds the sentences equal.
COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("run", "Add what is new in a job's folder to its dataset."),
    "auth": ("auth", "Check credentials, and store them in the system keyring."),
    "cancel": ("decide", "Give up a job."),
    "completion": ("completion", "Print the shell completion script."),
    "config": ("config", "See the settings in effect."),
    "demo": ("demo", "Watch an upload survive a kill, an outage and a broken file."),
    "doctor": ("doctor", "Check whether everything is in place for a run."),
    "events": ("events", "Show the history of a job, oldest first."),
    "export": ("jobs", "Write one job to its own file."),
    "files": ("files", "List the files of a job, and who waived which and why."),
    "help": ("manual", "Show the manual, or all options of a command."),
    "jobs": ("jobs", "List the jobs of the ledger, oldest first."),
    "report": ("report", "Report what was sent, from the ledger alone."),
    "reprocess": ("reprocess", "Let the server try again to process a dataset that failed."),
    "resume": ("run", "Continue a job with the settings it had."),
    "retry": ("decide", "Try again the files that could not be sent."),
    "run": ("run", "Upload the folder SOURCE, and watch until the dataset is ready."),
    "sandbox": ("sandbox", "Serve a stand-in for Visual Layer."),
    "serve": ("serve", "Show all jobs on a live page in the browser."),
    "settle": ("decide", "Settle an unknown outcome."),
    "status": ("status", "Show where a job stands."),
    "stop": ("decide", "Stop a job's run from another terminal."),
    "verify": ("verify", "Check a job's record, its files on disk, and its dataset."),
    "waive": ("decide", "Let a job continue without some files."),
}

HEADINGS: dict[str, tuple[str, ...]] = {
    "Upload": ("run", "resume", "add", "stop", "cancel"),
    "Look": ("status", "serve", "jobs", "files", "events"),
    "Decide": ("retry", "waive", "settle", "reprocess"),
    "Prove and keep": ("report", "verify", "export"),
    "Set up": ("doctor", "auth", "config", "completion"),
    "Learn": ("help", "demo", "sandbox"),
}


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage meanwhile, nor ever among what is imported: it stays."""
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        gc.enable()


class Imported(MutableMapping[str, click.Command]):
    """Commands by name, as click keeps them."""

    def __init__(self) -> None:
        self._added: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._added:
            with importing():
                module = import_module(f"vl_ingest.cli.{COMMANDS[name][0]}")
            self._added[name] = getattr(module, name)
        return self._added[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS | self._added)

    def __len__(self) -> int:
        return len(COMMANDS | self._added)


class Commands(click.Group):
    """All commands; listed without being imported."""

    def __init__(self, **attributes: object) -> None:
        super().__init__(commands=Imported(), **attributes)  # type: ignore[arg-type]  # click's own, passed on

    def format_commands(self, _context: click.Context, /, formatter: click.HelpFormatter) -> None:
        """Write the names and what each is for, under their headings."""
        width = max(map(len, COMMANDS))
        for heading, names in HEADINGS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), COMMANDS[name][1]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Return the commands that begin so, and what else a command may take."""
        from click.shell_completion import CompletionItem

        begun = [
            CompletionItem(name, help=COMMANDS[name][1])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*begun, *click.Command.shell_complete(self, ctx, incomplete)]
