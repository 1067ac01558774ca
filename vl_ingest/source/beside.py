"""A walk through a large folder in a process of its own, beside the one that sends.

Each look at a file lets the other threads of a process in; among hundreds of thousands of them these spend their time on
taking turns. Started as `python -I beside.py`, with the folder and the filters on its standard input; on its standard
output come lists of what it finds, the last one empty. It is over when nobody reads them any more.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from vl_ingest import clock, program  # the path has to be set first
from vl_ingest.domain.model import Facts, Found  # as above
from vl_ingest.source import LeftOut, Source  # as above
from vl_ingest.source.filters import Filters  # as above

TOGETHER = 500
SEND_AFTER_S = 0.1


class Died(Exception):
    """The process has ended before the walk."""


def walk(source: Source, filters: Filters) -> Iterator[Found | LeftOut]:
    """Yield what `source.walk` does. Raises `Died`, and not all has been told then."""
    with _started() as process:
        try:
            assert process.stdin is not None  # noqa: S101  # both are pipes
            assert process.stdout is not None  # noqa: S101  # as above
            with process.stdin as asked:
                pickle.dump((source, filters), asked)
            while items := pickle.load(process.stdout):  # noqa: S301  # from our own child
                for item in items:
                    yield item if type(item) is LeftOut else Found(item[0], Facts(item[1], item[2]))
        except (EOFError, OSError, pickle.UnpicklingError) as exc:
            raise Died from exc
        finally:
            process.kill()


def _started() -> "subprocess.Popen[bytes]":
    try:
        return program.start(
            [], os.path.abspath(__file__), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            process_group=0,  # a terminal's Ctrl-C is for the one that decides
        )  # fmt: skip
    except OSError as exc:
        raise Died from exc


def _main() -> None:
    source, filters = pickle.load(sys.stdin.buffer)  # noqa: S301  # from our parent
    found: list[Any] = []
    since = clock.monotonic()
    for item in source.walk(filters):
        found.append(
            item if type(item) is LeftOut else (item.path, *item.facts)
        )  # plain values travel faster
        if len(found) >= TOGETHER or clock.monotonic() - since > SEND_AFTER_S:
            _tell(found)
            found, since = [], clock.monotonic()
    if found:
        _tell(found)
    _tell([])


def _tell(found: list[Any]) -> None:
    pickle.dump(found, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        _main()
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more; to flush would fail once more
