"""The configuration file: TOML whose keys are the options' names, as `batch-size = 100`.

An option's value is the flag's, else the environment's, else the file's, else the default. `--config` names the file;
without it the one in the platform's configuration folder counts, if there is one.
"""

import os
from typing import TYPE_CHECKING, Any

import click

from vl_ingest.domain.errors import UsageError
from vl_ingest.server import variables

if TYPE_CHECKING:
    from pathlib import Path

FILE = "vl_ingest.config"  # in a context's `meta`: the file that was read
LOOKED = "vl_ingest.looked"  # there too: the environment has been looked at
SECRETS = {"api-key", "api-secret", "key", "secret", "token", "password"}
PREFIX, HOOK_PREFIX = "VL_INGEST_", "VL_INGEST_HOOK_"  # the latter are what a hook is told
NOT_IN_A_FILE = {"config", "help", "version"}


def default_file() -> "Path":
    """Return where the file lies unless told otherwise."""
    from platformdirs import user_config_path

    return user_config_path("vl-ingest", appauthor=False) / "config.toml"


def configure(context: click.Context, _option: click.Parameter, named: str | None) -> None:
    """Let the file's values stand in for the defaults of this command.

    Raises `UsageError` for a named file that is not there, for what is no option, and for a value that can't be one.
    """
    if context.resilient_parsing:
        return
    if not context.meta.get(LOOKED):  # `jobs prune` comes here twice
        context.meta[LOOKED] = True
        _check_environment(context)
    from pathlib import Path

    path = Path(named).expanduser() if named is not None else default_file()
    if named is None and not os.path.isfile(path):
        return
    values = _read(path)
    options = _options(context.command)
    for key in [key for key in values if key not in options]:
        if key in SECRETS:
            raise UsageError(
                f"{path} holds {key!r}: secrets don't belong there. Use token-file or token-command, "
                f"or set {variables.PAIR}."
            )
        known = {key for command in _commands(context.find_root().command) for key in _options(command)}
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(key, known, n=1)
            raise UsageError(
                f"{path}: there is no option {key!r}." + (f" Did you mean {near[0]!r}?" if near else "")
            )
    context.default_map = {
        str(option.name): _value(context, path, key, option, values[key])
        for key, option in options.items()
        if key in values
    }
    context.meta[FILE] = str(path)


def _check_environment(context: click.Context) -> None:
    """Warn of variables that look like settings and are none, as `VL_INGEST_NO_WAIT`."""
    given = [
        name for name in sorted(os.environ) if name.startswith(PREFIX) and not name.startswith(HOOK_PREFIX)
    ]
    if not given:
        return
    every = [option for command in _commands(context.find_root().command) for option in command.params]
    known = {
        name
        for option in every
        for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or ())
    }
    for name in given:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1, cutoff=0.85)
            meant = f" Did you mean {near[0]}?" if near else ""
            click.echo(f"warning: {name} in the environment is not a setting.{meant}", err=True)


def _read(path: "Path") -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"Can't read the configuration file {path}: {exc}.") from exc
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{path} is not TOML: {exc}. Example: batch-size = 100") from exc


def _commands(command: click.Command) -> list[click.Command]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(found for part in inner for found in _commands(part))]


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that a file may set, by their long names."""
    named = {}
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar:
            long = next(name for name in option.opts if name.startswith("--"))
            named[long.removeprefix("--")] = option
    return {key: option for key, option in named.items() if key not in NOT_IN_A_FILE}


def _value(context: click.Context, path: "Path", key: str, option: click.Option, value: Any) -> Any:
    """Return a value of the file as click takes it: words, for it reads durations and sizes itself."""
    if isinstance(value, bool) != (option.is_flag and not option.multiple):
        raise UsageError(f"{path}: {key} = {value!r}: use true or false for switches, and only for those.")
    given: Any = value
    if not option.is_flag:
        many = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in many):
            raise UsageError(f"{path}: {key} = {value!r} is neither text nor a number.")
        if isinstance(value, list) and not option.multiple:
            raise UsageError(f"{path}: {key} takes one value, not a list.")
        given = [str(one) for one in many] if option.multiple else str(value)
    try:
        option.type_cast_value(context, given)
    except click.BadParameter as exc:
        raise UsageError(f"{path}: {key}: {exc.message}") from exc
    return given
