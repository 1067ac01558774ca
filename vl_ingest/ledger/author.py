"""Who does something: the machine and the user, as they go on record."""

import getpass
import socket
from functools import cache


@cache
def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()


@cache
def user() -> str:
    """Return the name of the user that this process runs as; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # the last where there is no user database
        return "unknown"


def author() -> str:
    """Return who decides: the user and the host."""
    return f"{user()}@{host()}"
