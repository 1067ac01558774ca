"""Our own programs, in processes of their own. Light: they import it themselves."""

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subprocess import Popen

CREDENTIALS = "VISUAL_LAYER_"  # how the names of variables begin that they have no use for
PR_SET_PDEATHSIG = 1


def start(program: str, *arguments: object, **files: Any) -> "Popen[bytes]":
    """Start a program of this package; `files` are those of `Popen`. Raises `OSError`.

    It finds the standard library and, if it looks for it, this package; no code of the site runs in it.
    """
    if not sys.executable:
        raise FileNotFoundError("it is not known which program runs Python here")
    import subprocess

    command = [sys.executable, "-I", "-S", f"-Xutf8={sys.flags.utf8_mode}", program, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
    return subprocess.Popen(command, env=environment, **files)  # noqa: S603  # our own program


def die_with(parent: int) -> None:
    """Let the kernel end this process with the thread that has started it, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # a Python without ctypes
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
