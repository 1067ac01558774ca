"""The commands that messages suggest, completed with where this command was told to look.

A message names a command in backticks (`vl-ingest resume 9xdyj2`). Whoever gave `--ledger` or `--base-url` on the
command line needs the same option there; a known job brings its server's address along.
"""

import re
from collections.abc import Callable

import click
from click.core import ParameterSource

_COMMAND = re.compile(r"`vl-ingest (?P<name>[a-z]+)(?P<rest>[^`]*)`")
_PLACES = "vl_ingest.places"  # in click's context


def remember(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Keep the value of `--ledger` or `--base-url` where it stands on the command line; a callback of click's."""
    name = str(parameter.name)
    if value is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        context.meta.setdefault(_PLACES, {})[name] = value
    return value


def completed(context: click.Context) -> Callable[[str], str]:
    """Return the function that completes the commands in a text; it may be called from any thread."""
    places, root = context.meta.get(_PLACES, {}), context.find_root()

    def complete(match: re.Match[str]) -> str:
        words = ["vl-ingest", match["name"] + match["rest"]]
        takes = _parameters(root, match["name"])
        for name, value in places.items():
            flag = "--" + name.replace("_", "-")
            if (
                name in takes
                and flag not in match["rest"]
                and not (name == "base_url" and "job_reference" in takes)
            ):
                import shlex

                words += [flag, shlex.quote(value)]
        return f"`{' '.join(words)}`"

    return lambda text: _COMMAND.sub(complete, text) if places else text


def _parameters(root: click.Context, name: str) -> set[str | None]:
    command = root.command.get_command(root, name) if isinstance(root.command, click.Group) else None
    return set() if command is None else {parameter.name for parameter in command.params}
