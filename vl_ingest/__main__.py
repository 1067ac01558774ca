"""The command: parse, do, and turn whatever happens into an exit code."""

import sys

from vl_ingest.cli import command_line


def main() -> None:
    """Run the command line with this process's arguments, and exit."""
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
