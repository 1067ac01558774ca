"""Options that several commands share, and the forms in which people write their values.

Every option is also `VL_INGEST_<OPTION>` in the environment.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from vl_ingest.cli.commands import importing
from vl_ingest.cli.completion import jobs
from vl_ingest.cli.configfile import configure
from vl_ingest.cli.layout import Heading, Option
from vl_ingest.cli.suggest import completed, remember
from vl_ingest.domain.choices import Changed, OnRejected, OnUnknown, Reindex
from vl_ingest.domain.errors import VlIngestError
from vl_ingest.domain.forms import (
    CLOUD_URL,
    duration_text,
    normalise_base_url,
    parse_add_files,
    parse_batch_size,
    parse_duration,
    parse_field,
    parse_name,
    parse_processes,
    parse_reason,
    parse_size,
    parse_workers,
    size_text,
)
from vl_ingest.domain.settings import Settings
from vl_ingest.domain.timetable import parse_bwlimit, parse_rate

if TYPE_CHECKING:  # both cost time, and --help needs neither
    from vl_ingest.ledger import Ledger
    from vl_ingest.server.api import Api
    from vl_ingest.server.tokens import Tokens

F = TypeVar("F", bound=Callable[..., Any])
DEFAULTS = Settings()
CONFIG_HELP = "The settings file, if not in its usual place."
VERBOSITY = "vl_ingest.verbosity"  # in click's context


class Parsed(click.ParamType[Any]):
    """A value in one of people's forms, read by a function that raises `VlIngestError`."""

    def __init__(
        self,
        name: str,
        parse: Callable[[str], Any],
        text: Callable[[Any], str] = str,
        unset: str | None = None,
    ) -> None:
        self.name = name
        self._parse = parse
        self._text = text
        self._unset = unset

    def text(self, value: Any) -> str | None:
        """Return a value in the form that people write."""
        return self._unset if value is None else self._text(value)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail with its message."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except VlIngestError as exc:
            self.fail(str(exc), param, ctx)


SIZE = Parsed("size", parse_size, size_text)
RATE = Parsed("rate", parse_rate)
DURATION = Parsed("duration", parse_duration, duration_text)
BASE_URL = Parsed("url", normalise_base_url)
BWLIMIT = Parsed("rate", parse_bwlimit)
NAME = Parsed("text", parse_name)
REASON = Parsed("text", parse_reason)
BATCH_SIZE = Parsed("1-1000", parse_batch_size)
FIELD = Parsed("text", parse_field)
ADD_FILES = Parsed("1-20000", parse_add_files)
WORKERS = Parsed("auto|N", parse_workers, unset="auto")
PROCESSES = Parsed("auto|N", parse_processes, unset="auto")
LIST = click.Path(exists=True, dir_okay=False, allow_dash=True)


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Return an option that may also be set by its name in the environment."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    attributes.setdefault("envvar", "VL_INGEST_" + long.removeprefix("--").replace("-", "_").upper())
    return click.option(*names, **{"cls": Option, **attributes})


of_every = functools.partial(option, heading=Heading.EVERY)
of_job = functools.partial(option, heading=Heading.JOB)
of_server = functools.partial(option, heading=Heading.SERVER)
of_telling = functools.partial(option, heading=Heading.TELLING)


def one_of(kind: type[StrEnum]) -> click.Choice[str]:
    """Return the type of an option whose values are those of `kind`."""
    return click.Choice([choice.value for choice in kind])


def together(name: str, **options: Callable[[F], F]) -> Callable[[F], F]:
    """Return what adds options that the command gets as one mapping `name`, by their own names."""

    def add_all(command: F) -> F:
        @functools.wraps(command)
        def packed(*args: Any, **values: Any) -> Any:
            return command(*args, **{name: {key: values.pop(key) for key in options}}, **values)

        added: Any = packed
        for add in reversed(options.values()):
            added = add(added)
        return cast("F", added)

    return add_all


job_argument = click.argument("job_reference", metavar="JOB", type=NAME, shell_complete=jobs)
optional_job_argument = click.argument(
    "job_reference", metavar="[JOB]", type=NAME, required=False, shell_complete=jobs
)


class _Verbose(Option):
    """`-v`, whose help says what it shows of the command at hand."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names and the help, as click wants them."""
        names = {param.name for param in ctx.command.params}
        if "batch_size" in names:
            self.help = "Show each receipt; -vv: each request, too."
        elif "base_url" in names:
            self.help = "Has no effect here; -vv: show each request."
        else:
            self.help = "Has no effect here."
        return super().get_help_record(ctx)


def general_options(command: F) -> F:
    """Add what every command takes: `--config`, `-q` and `-v`; what these come to, `verbosity` tells the command."""

    @functools.wraps(command)
    def told(*args: Any, verbose: int, quiet: bool, **values: Any) -> Any:
        click.get_current_context().meta[VERBOSITY] = verbose - quiet
        if verbose <= 0:
            return command(*args, **values)
        from vl_ingest.observers.log import shown

        with shown(verbose):
            return command(*args, **values)

    added: Any = told
    for add in (
        of_every("-v", "--verbose", cls=_Verbose, count=True),
        of_every("-q", "--quiet", is_flag=True, help="Show only warnings and the result."),
        of_every(
            "--config",
            rare=True,
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=configure,
            help=CONFIG_HELP,
        ),
    ):
        added = add(added)
    return cast("F", added)


def verbosity(context: click.Context | None = None) -> int:
    """Return -1 for `-q`, 1 for `-v`, 2 for `-vv`."""
    number: int = (context or click.get_current_context()).meta.get(VERBOSITY, 0)
    return number


def ledger_options(command: F) -> F:
    """Add what every command takes that has to do with a ledger."""
    command = general_options(command)
    for add in (
        of_every("--json", "as_json", is_flag=True, help="Write JSON Lines to standard output."),
        of_every(
            "--ledger", metavar="PATH|URL", callback=remember, help="The ledger, if not in its usual place."
        ),
    ):
        command = add(command)
    return command


def server_options(command: F) -> F:
    """Add what every command takes that speaks to the server: `base_url`, and `access` for `open_tokens`."""
    names, shown = (
        ["VL_INGEST_BASE_URL", "VISUAL_LAYER_BASE_URL"],
        {"show_default": "Visual Layer's cloud", "callback": remember, "help": "The server."},
    )
    address = of_server("--base-url", type=BASE_URL, envvar=names, default=CLOUD_URL, **shown)
    return address(ACCESS_OPTIONS(command))


ACCESS_OPTIONS: Callable[[F], F] = together(
    "access",
    no_auth=of_server("--no-auth", is_flag=True, help="Send no Authorization header (on-premises)."),
    token_file=of_server("--token-file", rare=True, type=click.Path(), help="A file that holds a token."),
    token_command=of_server("--token-command", rare=True, metavar="CMD", help="A command that prints a token."),
    credentials_file=of_server("--credentials-file", rare=True, type=click.Path(), help="A TOML file with api-key and api-secret, if not in its usual place."),
)  # fmt: skip

# What belongs to the machine and the moment, not to the job.
telling_options: Callable[[F], F] = together(
    "telling",
    stats=of_telling("--stats", rare=True, type=DURATION, default="60s", show_default=True, help="Without a terminal, a progress line this often; '0': none."),
    log_file=of_telling("--log-file", rare=True, metavar="PATH", help="Write a log to this file, as JSON Lines."),
    log_size=of_telling("--log-size", rare=True, type=SIZE, default="16MiB", show_default=True, help="Start a new log at this size, keeping five old ones (0: never)."),
    metrics_file=of_telling("--metrics-file", rare=True, metavar="PATH", help="Write metrics to this file, for Prometheus' textfile collector."),
    on_finish=of_telling("--on-finish", rare=True, metavar="CMD", help="Run this command when the run has ended."),
    on_trouble=of_telling("--on-trouble", rare=True, metavar="CMD", help="Run this command when the run waits, stalls, or can't send a file."),
)  # fmt: skip


def setting(field: str, flags: str, **attributes: Any) -> Callable[[F], F]:
    """Return the option of one field of `Settings`; its default is that field's, in the form that people write."""
    value, kind = getattr(DEFAULTS, field), attributes.get("type")
    if isinstance(kind, Parsed):
        value = kind.text(value)
    elif isinstance(value, StrEnum):
        value = str(value)
    shown = value is not None and not attributes.get("multiple")
    return option(flags, field, default=value, show_default=shown, **attributes)


SETTINGS: dict[str, Callable[[F], F]] = {
    "batch_size": setting("batch_size", "--batch-size", heading=Heading.PACE, rare=True, type=BATCH_SIZE, help="Most files per request."),
    "batch_bytes": setting("batch_bytes", "--batch-bytes", heading=Heading.PACE, rare=True, type=SIZE, help="Most bytes per request; a larger file goes alone."),
    "workers": setting("workers", "--workers", heading=Heading.PACE, type=WORKERS, help="Requests at once, or 'auto'."),
    "processes": setting("processes", "--processes", heading=Heading.PACE, rare=True, type=PROCESSES, help="Processes that send; 'auto' starts them where they pay, 0: none."),
    "dask": setting("dask", "--dask", heading=Heading.PACE, rare=True, metavar="ADDRESS", help="Send from the workers of the Dask cluster with this scheduler."),
    "remote_source": setting("remote_source", "--remote-source", heading=Heading.PACE, rare=True, metavar="PATH", help="Where the folder is on these workers, if elsewhere."),
    "include": setting("include", "--include", heading=Heading.FILES, multiple=True, metavar="GLOB", help="Send only matching files; repeatable."),
    "exclude": setting("exclude", "--exclude", heading=Heading.FILES, multiple=True, metavar="GLOB", help="Leave out what matches, folders too; repeatable."),
    "exclude_from": setting("exclude_from", "--exclude-from", heading=Heading.FILES, rare=True, type=click.Path(exists=True, dir_okay=False), multiple=True, help="Leave out what the patterns in this file match; repeatable."),
    "min_size_bytes": setting("min_size_bytes", "--min-size", heading=Heading.FILES, rare=True, type=SIZE, help="Leave out smaller files."),
    "max_size_bytes": setting("max_size_bytes", "--max-size", heading=Heading.FILES, rare=True, type=SIZE, help="Leave out larger files."),
    "newer_than_s": setting("newer_than_s", "--newer-than", heading=Heading.FILES, type=DURATION, help="Send only files changed within this time."),
    "files_from": setting("files_from", "--files-from", heading=Heading.FILES, type=LIST, help="Send only the files in this list ('-': stdin)."),
    "recursive": setting("recursive", "--recursive/--no-recursive", heading=Heading.FILES, rare=True, help="Include subfolders."),
    "on_rejected": setting("on_rejected", "--on-rejected", heading=Heading.JOB, type=one_of(OnRejected), help="What to do with rejected files."),
    "on_unknown": setting("on_unknown", "--on-unknown", heading=Heading.JOB, rare=True, type=one_of(OnUnknown), help="What to do with files that may have been delivered."),
    "settle_s": setting("settle_s", "--settle", heading=Heading.PACE, rare=True, type=DURATION, help="How long the status must stay as it was to show that processing has not begun."),
    "give_up_after_s": setting("give_up_after_s", "--give-up-after", heading=Heading.PACE, rare=True, type=DURATION, help="How long to keep trying without success."),
    "first_contact_s": setting("first_contact_s", "--first-contact", heading=Heading.PACE, rare=True, type=DURATION, help="How long to try if the server has never answered."),
    "max_duration_s": setting("max_duration_s", "--max-duration", heading=Heading.PACE, type=DURATION, help="Stop cleanly after this time."),
    "bwlimit": setting("bwlimit", "--bwlimit", heading=Heading.PACE, type=BWLIMIT, help="Most bytes a second: '8M', '8:00,1M 19:00,off'."),
    "stall_after_s": setting("stall_after_s", "--stall-after", heading=Heading.TELLING, rare=True, type=DURATION, help="Warn after this long without any traffic; '0': never."),
    "wait": setting("wait", "--wait/--no-wait", heading=Heading.JOB, help="Watch until it is ready."),
    "confirm": setting("confirm", "--confirm/--no-confirm", heading=Heading.JOB, rare=True, help="Then ask the server for each file."),
    "add": setting("add", "--add/--no-add", heading=Heading.JOB, help="Add new files to the dataset."),
    "add_bytes": setting("add_bytes", "--add-bytes", heading=Heading.PACE, rare=True, type=SIZE, help="Most bytes per addition; a larger file goes alone."),
    "add_files": setting("add_files", "--add-files", heading=Heading.PACE, rare=True, type=ADD_FILES, help="Most files per addition."),
    "reindex": setting("reindex", "--reindex", heading=Heading.JOB, rare=True, type=one_of(Reindex), help="Whether to reindex the dataset after the last addition."),
    "changed": setting("changed", "--changed", heading=Heading.JOB, rare=True, type=one_of(Changed), help="With --add: what to do with files that were changed after they were sent."),
    "path_field": setting("path_field", "--path-field", heading=Heading.JOB, rare=True, type=FIELD, help="Keep each file's path in this custom metadata field."),
    "folder_field": setting("folder_field", "--folder-field", heading=Heading.JOB, rare=True, type=FIELD, help="Keep each file's folder in this custom metadata field."),
    "skip_known_content": setting("skip_known_content", "--skip-known-content/--no-skip-known-content", heading=Heading.FILES, rare=True, help="Do not add new files whose content is already in the dataset."),
}  # fmt: skip


def setting_options(command: F) -> F:
    """Add the options that make up `Settings`."""
    for add in reversed(SETTINGS.values()):
        command = add(command)
    return command


def settings_from(values: dict[str, Any], base: Settings = DEFAULTS) -> Settings:
    """Return the settings that the options say; what was not given stays as in `base`.

    What a known job was told (`base`) stands over the configuration file.
    """
    context = click.get_current_context()
    lesser = {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP if base is not DEFAULTS else None}
    chosen = {name: values[name] for name in values if context.get_parameter_source(name) not in lesser}
    return Settings.from_record({**base.to_record(), **chosen})


def given(*names: str) -> bool:
    """Return whether any of these options stands on the command line itself."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) is ParameterSource.COMMANDLINE for name in names)


def open_ledger(place: str | None, *, create: bool = False) -> "Ledger":
    """Open the ledger that was named, or the default one."""
    with importing():
        from vl_ingest.ledger import Ledger
        from vl_ingest.ledger.database import default_path

    return Ledger(place or default_path(), create=create)


def open_to_read(place: str | None, *, live: bool = False) -> "AbstractContextManager[Ledger]":
    """Open the same to look at it, also one that is older or can't be written to; see `ledger.reading`."""
    with importing():
        from vl_ingest.ledger import reading
        from vl_ingest.ledger.database import default_path

    return reading(place or default_path(), live=live)


def open_tokens(base_url: str, access: Mapping[str, Any]) -> "Tokens":
    """Return the credentials for a server that options, environment, file or keyring name."""
    from vl_ingest.server.credentials import find

    return find(base_url, warn=warn, **access).tokens


def show(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Write one line to standard output: `facts` for programs, `text` for people."""
    if as_json:
        import json

        click.echo(json.dumps(facts))
    else:
        click.echo(completed(click.get_current_context())(text))


def warn(text: str) -> None:
    """Show a warning before there is a run to show it."""
    click.echo(f"warning: {completed(click.get_current_context())(text)}", err=True)


def open_api(base_url: str, access: Mapping[str, Any]) -> "Api":
    """Return a client of the server, with these credentials."""
    from vl_ingest.server.api import Api

    return Api(base_url, open_tokens(base_url, access))
