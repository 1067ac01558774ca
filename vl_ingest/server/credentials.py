"""Which credentials a command works with: from options, the environment, a file, or the system keyring.

The first of these that holds any: `--no-auth`, `--token-file`, `--token-command`, `--credentials-file`;
VISUAL_LAYER_API_KEY with VISUAL_LAYER_API_SECRET (whose secret may be in the keyring instead); VISUAL_LAYER_TOKEN; the
credentials file in the platform's configuration folder; the keyring (extra `keyring`). None: no header is sent.
"""

import importlib.metadata
import os
import stat
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_ingest.domain.errors import Refused, UsageError
from vl_ingest.domain.forms import CLOUD_URL
from vl_ingest.server import variables
from vl_ingest.server.tokens import Tokens, checked, from_command, from_file, from_key

SERVICE = "vl-ingest"  # in the keyring: the secret by its key, and the key by `KEY_ENTRY`
KEY_ENTRY = "api-key"
NEEDS = "The system keyring needs another package: pip install 'vl-ingest[keyring]'."
PAIR = {"api-key", "api-secret"}
# Variables by one of which a keyring may be found.
OF_A_SESSION = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "PYTHON_KEYRING_BACKEND")


@dataclass(frozen=True)
class Credentials:
    """Tokens, and in words where they come from."""

    tokens: Tokens
    origin: str


def find(
    base_url: str = "",
    environ: Mapping[str, str] = os.environ,
    *,
    no_auth: bool = False,
    token_file: str | None = None,
    token_command: str | None = None,
    credentials_file: str | None = None,
    warn: Callable[[str], None] = lambda _text: None,
) -> Credentials:
    """Return the credentials that options, environment, file and keyring name, in this order.

    `warn` is told of a file that others may read. Raises `UsageError` where the cloud is to be spoken to without any, where options contradict each other, or a file
    is not what it should be.
    """
    if sum(map(bool, (token_file, token_command, no_auth, credentials_file))) > 1:
        raise UsageError("Give one of --token-file, --token-command, --credentials-file and --no-auth.")
    if token_command is not None and not token_command.strip():
        raise UsageError("--token-command is empty.")
    if no_auth:
        return Credentials(Tokens(None), "none, as --no-auth says")
    if token_file:
        _warn_of_readers(Path(token_file), warn)
        return Credentials(from_file(token_file), f"the token file {token_file}")
    if token_command:
        return Credentials(from_command(token_command), "the token command")
    if credentials_file:
        return _of_file(Path(credentials_file).expanduser(), warn)
    found = _of_environment(environ) or _of_default_file(warn) or _of_keyring()
    if found is None and base_url == CLOUD_URL:
        raise UsageError(
            f"No credentials for {CLOUD_URL}. Set {variables.PAIR}, or {variables.TOKEN}, or run "
            "`vl-ingest auth login`; for another server name it with --base-url."
        )
    return found or Credentials(Tokens(None), "none")


def default_file() -> Path:
    """Return where the credentials file lies unless told otherwise."""
    from platformdirs import user_config_path

    return user_config_path("vl-ingest", appauthor=False) / "credentials.toml"


def assert_keyring() -> None:
    """Raise `UsageError` where the system keyring can't be used."""
    _keyring()


def store(key: str, secret: str) -> None:
    """Put an API key and its secret into the system keyring. Raises `UsageError` where there is none."""
    keyring, errors = _keyring()
    try:
        keyring.set_password(SERVICE, key, secret)
        keyring.set_password(SERVICE, KEY_ENTRY, key)
    except errors.KeyringError as exc:
        raise UsageError(
            f"Can't write to the system keyring: {exc}. Keep the key in {default_file()} (readable by you alone) or in "
            "the environment."
        ) from exc


def forget() -> bool:
    """Take key and secret out of the system keyring; return whether there were any."""
    keyring, errors = _keyring()
    try:
        key = keyring.get_password(SERVICE, KEY_ENTRY)
        if key is None:
            return False
        keyring.delete_password(SERVICE, key)
        keyring.delete_password(SERVICE, KEY_ENTRY)
    except errors.KeyringError as exc:
        raise UsageError(f"The system keyring can't be changed: {exc}.") from exc
    return True


def _of_environment(environ: Mapping[str, str]) -> Credentials | None:
    key, secret = environ.get(variables.KEY), environ.get(variables.SECRET)
    if key and secret:
        return Credentials(from_key(key, secret), variables.PAIR)
    if key and (kept := _kept(key)):
        return Credentials(from_key(key, kept), f"{variables.KEY}, and its secret in the system keyring")
    if key or secret:
        raise UsageError(f"Set both {variables.PAIR}, or neither.")
    ready = environ.get(variables.TOKEN)
    if ready:
        token = checked(ready.strip(), variables.TOKEN)
        return Credentials(Tokens(lambda _skew: token), variables.TOKEN)
    return None


def _of_default_file(warn: Callable[[str], None]) -> Credentials | None:
    path = default_file()
    return _of_file(path, warn) if os.path.isfile(path) else None


def _of_file(path: Path, warn: Callable[[str], None]) -> Credentials:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as exc:
        raise Refused(
            f"Can't read the credentials file {path}: {exc}. Fix it and run the command again."
        ) from exc
    except tomllib.TOMLDecodeError as exc:  # its own words might repeat a line
        raise UsageError(
            f'{path} is not TOML. Expected two lines: api-key = "..." and api-secret = "...".'
        ) from exc
    _warn_of_readers(path, warn)
    if set(values) != PAIR or not all(isinstance(value, str) and value for value in values.values()):
        raise UsageError(f'{path}: expected exactly two lines: api-key = "..." and api-secret = "...".')
    return Credentials(from_key(values["api-key"], values["api-secret"]), f"the credentials file {path}")


def _warn_of_readers(path: Path, warn: Callable[[str], None]) -> None:
    """Warn of a file that is not its owner's alone; Windows tells by other means, which are not looked at."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says so better
    if stat.S_ISREG(mode) and mode & 0o077:
        warn(f"Other users of this machine can read {path}. Protect it: chmod 600 {path}")


def _of_keyring() -> Credentials | None:
    key = _kept(KEY_ENTRY) if _may_be_kept() else None
    secret = _kept(key) if key else None
    return Credentials(from_key(key, secret), "the system keyring") if key and secret else None


def _may_be_kept() -> bool:
    """Return whether it is worth a tenth of a second to look which keyrings there are.

    Those of Linux are asked over a session's bus. A server has none, unless somebody has chosen or installed another one.
    """
    if sys.platform != "linux" or "keyring" in sys.modules or any(map(os.environ.get, OF_A_SESSION)):
        return True
    from platformdirs import user_config_path

    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    hints = (Path(runtime, "bus"), user_config_path("python_keyring") / "keyringrc.cfg")
    if any(os.path.exists(hint) for hint in hints):  # `Path.exists` raises where it may not look
        return True
    backends = importlib.metadata.entry_points(group="keyring.backends")
    return any(not backend.value.startswith("keyring.backends.") for backend in backends)


def _kept(entry: str) -> str | None:
    """Return what the keyring keeps; None where there is no keyring, or none that can be asked."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, entry)
    except KeyringError:  # a machine without one, or one that is locked: what needs credentials says so
        return None


def _keyring() -> tuple[Any, Any]:
    try:
        import keyring
        import keyring.errors
    except ImportError as exc:
        raise UsageError(NEEDS) from exc
    return keyring, keyring.errors
