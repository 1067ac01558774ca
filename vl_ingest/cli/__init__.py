"""The command line: parse, call, print; nothing else.

`command_line` may be called without a process of its own; it returns the exit code. Modules here import
what costs time (SQLAlchemy, requests, the sandbox) inside the commands, so that `--help` is quick.
"""

import os
import sys
from collections.abc import Sequence

import click

from vl_ingest import __version__
from vl_ingest.cli import (
    auth,
    completion,
    config,
    decide,
    demo,
    doctor,
    look,
    proof,
    report,
    run,
    sandbox,
)
from vl_ingest.cli.options import verbosity
from vl_ingest.errors import VlIngestError

INTERRUPTED = 130
LOUD = 2  # -vv


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vl-ingest")
def cli() -> None:
    """Upload a folder of images and videos to a Visual Layer dataset, once and completely.

    `vl-ingest run FOLDER --name NAME` does everything, and is what you run again after any interruption.
    """


for command in (
    run.run, run.resume, look.status, look.jobs, look.files, proof.events, decide.retry, decide.waive,
    decide.settle, decide.stop, decide.cancel, report.report, proof.verify, proof.export, doctor.doctor,
    config.config, auth.auth, completion.completion, sandbox.sandbox, demo.demo,
):  # fmt: skip
    cli.add_command(command)
look.jobs.add_command(proof.prune)


def command_line(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; the only place that knows both."""
    try:
        # Not `cli.main`: that takes a closed pipe for a failure.
        with cli.make_context("vl-ingest", list(arguments)) as context:
            result = _invoke(context)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except VlIngestError as exc:
        _say(str(exc))
        return exc.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to tell, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _invoke(context: click.Context) -> object:
    """Carry out the command; what nobody has foreseen becomes a `Crashed`, with the details in a file."""
    try:
        return cli.invoke(context)
    except (VlIngestError, click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as exc:
        from vl_ingest.cli.crash import Crashed

        raise Crashed(exc, loud=verbosity(context) >= LOUD) from exc


def _say(text: str) -> None:
    try:
        click.echo(f"vl-ingest: {text}", err=True)
    except OSError:
        return  # the terminal is gone; the exit code still tells
