"""`config show`: what a run would work with, and where each value comes from."""

import json
import os
from typing import Any

import click
from click.core import ParameterSource

from vl_ingest.cli.configfile import FILE, default_file
from vl_ingest.cli.layout import Group
from vl_ingest.cli.options import (
    DURATION,
    SIZE,
    WORKERS,
    ledger_options,
    server_options,
    setting_options,
    telling_options,
)
from vl_ingest.domain import words


@click.group(cls=Group)
def config() -> None:
    """See the settings in effect.

    Example:  vl-ingest config show
    """


@config.command()
@setting_options
@telling_options
@server_options
@ledger_options
@click.pass_context
def show(context: click.Context, /, as_json: bool, **_values: Any) -> None:
    """Show each setting, its value, and where it comes from.

    Flags override environment variables, which override the configuration file, which overrides the defaults.

    Example:  vl-ingest config show
    """
    file = context.meta.get(FILE)
    if not as_json:
        click.echo(f"Configuration file: {file or f'none ({default_file()} does not exist)'}")
    for option in context.command.params:
        if option.name not in context.params or option.name == "as_json":
            continue
        line = _shown(context, option, file)
        if as_json:
            click.echo(json.dumps(line))
        else:
            click.echo(f"  {line['option']:<16} {_for_people(option, line['value']):<32} {line['source']}")


def _for_people(option: click.Parameter, value: Any) -> str:
    if value is None:
        return "auto" if option.type is WORKERS else str(_places().get(str(option.name), "not set"))
    if option.type is SIZE:
        return words.size(value)
    if option.type is DURATION:
        return words.duration(value)
    if isinstance(value, list):
        return ", ".join(value) or "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _places() -> dict[str, Any]:
    """Return where things lie unless options say otherwise."""
    from vl_ingest.ledger.database import default_path
    from vl_ingest.server import credentials

    return {"ledger": default_path(), "credentials_file": credentials.default_file()}


def _shown(context: click.Context, option: click.Parameter, file: str | None) -> dict[str, Any]:
    name = str(option.name)
    value, source = context.params[name], context.get_parameter_source(name)
    where = {
        ParameterSource.COMMANDLINE: "flag",
        ParameterSource.ENVIRONMENT: f"environment: {_variable(option)}",
        ParameterSource.DEFAULT_MAP: f"file: {file}",
    }
    long = next(text for text in option.opts if text.startswith("--"))
    return {
        "option": long.removeprefix("--"),
        "value": list(value) if isinstance(value, tuple) else value,
        "source": "default" if source is None else where.get(source, "default"),
    }


def _variable(option: click.Parameter) -> str:
    names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    return next((name for name in names if os.environ.get(name)), "?")
