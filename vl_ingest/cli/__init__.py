"""The command line: parse, call, print; nothing else.

`command_line` may be called without a process of its own; it returns the exit code. Modules here import
what costs time (SQLAlchemy, requests, the sandbox) inside the commands, so that `--help` is quick.
"""

import errno
import os
import sys
from collections.abc import Sequence

import click

from vl_ingest.cli.commands import COMPLETION, PROGRAM, Commands
from vl_ingest.cli.suggest import completed
from vl_ingest.domain.errors import GaveUp, UsageError, VlIngestError
from vl_ingest.version import __version__

INTERRUPTED = 130
LOUD = 2  # -vv


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Upload a folder of images and videos to Visual Layer, once and completely.

    `vl-ingest run FOLDER --name NAME` does everything. After any interruption, run it again.
    `vl-ingest help` is the manual.

    Example:  vl-ingest run photos --name holidays
    """


def complete_here() -> int | None:
    """Answer a shell that asks for completions; None where none does."""
    asked = os.environ.get(COMPLETION)
    if not asked:
        return None
    from click.shell_completion import shell_complete

    return shell_complete(cli, {}, PROGRAM, COMPLETION, asked)


def command_line(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; the only place that knows both."""
    try:
        result = _invoke(arguments)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        if isinstance(exc, click.BadParameter) and (variable := _variable(exc.param, arguments)):
            text = f"{exc.message} ({variable} in the environment)"
            exc = click.BadParameter(text, exc.ctx, exc.param, exc.param_hint)
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except VlIngestError as exc:
        _say(str(exc))
        return exc.exit_code
    except BrokenPipeError:
        _silence()  # whoever read our output has gone; nothing is left to tell
        return 0
    return result if isinstance(result, int) else 0


def _invoke(arguments: Sequence[str]) -> object:
    """Carry out the command; what nobody has foreseen becomes a `Crashed`, with the details in a file.

    An error's text gets its commands completed here, where the options of the command are still known.
    """
    context = None
    try:
        # Not `cli.main`: that takes a closed pipe for a failure.
        try:
            with cli.make_context(PROGRAM, list(arguments)) as context:
                return cli.invoke(context)
        finally:
            sys.stdout.flush()
    except VlIngestError as exc:
        _say(str(exc) if context is None else completed(context)(str(exc)))
        return exc.exit_code
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as exc:
        _assert_surroundings(exc)
        from vl_ingest.cli.crash import Crashed
        from vl_ingest.cli.options import verbosity

        raise Crashed(exc, loud=context is not None and verbosity(context) >= LOUD) from exc


def _variable(parameter: click.Parameter | None, arguments: Sequence[str]) -> str | None:
    """Return the variable that gave a parameter its value, unless an argument did."""
    if parameter is None or any(word.split("=")[0] in parameter.opts for word in arguments):
        return None
    names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
    return next((name for name in names if os.environ.get(name)), None)


def _assert_surroundings(exc: Exception) -> None:
    """Raise what it means where what the command was started in, not this program, is at fault."""
    if isinstance(exc, UnicodeEncodeError) and sys.getfilesystemencoding() != "utf-8":
        raise UsageError("This locale can't show some file names. Set PYTHONUTF8=1 and try again.") from exc
    if not isinstance(exc, OSError):
        return
    if exc.errno == errno.ENOSPC:
        _silence()
        raise GaveUp("Can't write the output: the disk is full. Free some space and try again.") from exc
    try:
        os.getcwd()
    except OSError:
        raise UsageError("The current folder no longer exists. Change to another one (`cd`).") from exc


def _silence() -> None:
    """Let what is still to be written go nowhere, so that Python does not try in vain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    try:
        click.echo(f"vl-ingest: {text}", err=True)
    except OSError:
        return  # the terminal is gone; the exit code still tells
