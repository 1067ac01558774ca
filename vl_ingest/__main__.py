"""The command: parse, do, and turn whatever happens into an exit code."""

import sys

from vl_ingest.cli import cli, command_line
from vl_ingest.cli.completion import complete_here


def main() -> None:
    """Run the command line with this process's arguments, or answer a shell that completes one; and exit."""
    asked = complete_here(cli)
    sys.exit(command_line(sys.argv[1:]) if asked is None else asked)


if __name__ == "__main__":
    main()
