"""The command: parse, do, and turn whatever happens into an exit code."""

import gc
import io
import os
import sys
from typing import Literal, TextIO

from vl_ingest.cli import command_line, complete_here


def main() -> None:
    """Run the command line with this process's arguments, or answer a shell that completes one; and exit."""
    gc.set_threshold(
        50_000, 20, 20
    )  # a million files are a million rows that live shortly, and none of them is garbage
    gc.freeze()  # what is imported stays: to look for garbage in it, at the end too, takes time for nothing
    sys.stdin = _usable(sys.stdin, "r")
    sys.stdout, sys.stderr = _usable(sys.stdout, "w"), _usable(sys.stderr, "w")
    asked = complete_here()
    sys.exit(command_line(sys.argv[1:]) if asked is None else asked)


def _usable(stream: TextIO | None, mode: Literal["r", "w"]) -> TextIO:
    """Return a stream that takes every name there is, whatever its encoding; a closed one goes nowhere.

    Opened in the order of their numbers, none of them becomes the ledger's.
    """
    if stream is None:
        return open(os.devnull, mode, encoding="utf-8")  # for as long as the process lives
    if mode == "w" and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


if __name__ == "__main__":
    main()
