"""Our own programs, in processes of their own. Light: they import it themselves."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

CREDENTIALS = "VISUAL_LAYER_"  # how the names of variables begin that they have no use for


def start(
    options: Sequence[str], program: str, *arguments: object, **files: Any
) -> "subprocess.Popen[bytes]":
    """Start a program of this package, `options` being Python's own and `files` those of `Popen`. Raises `OSError`."""
    command = [sys.executable, "-I", *options, f"-Xutf8={sys.flags.utf8_mode}", program, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
    return subprocess.Popen(command, env=environment, **files)  # noqa: S603  # our own program
